"""The benchmark of what labels are worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray.clips.bank import open_bank
from asd_ray.clips.demo import make_demo
from benchmarks.bench_labels import CLASSIFIERS, COLUMNS, TUNED, cells_of, main, settings, table


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_hidden_clips_are_measured_within_their_real_ids(tmp_path: Path) -> None:
    """Scores that are right within each id, but shifted from id to id."""
    shown, hidden = (
        open_bank(
            make_demo(tmp_path / f"demo{hide}", size="tiny", machines=["fan"], seconds=1.0, hide_labels=hide),
            cache=tmp_path / "cache",
            workers=1,
        )
        for hide in (False, True)
    )
    scored, clips = (bank.select("fan", split="test").frame for bank in (hidden, shown))
    unit = scored["clip"].str.extract(r"_(\d{4})_noAttribute", expand=False).astype(int) // 1000
    score = (scored["label"] == "anomaly") + 10.0 * unit
    order = np.random.default_rng(0).permutation(len(scored))
    found = cells_of({"right": score.to_numpy()[order], "wrong": -score.to_numpy()[order]}, scored.iloc[order], clips)
    assert found["right"] == 1
    assert found["wrong"] < 0.01


def test_a_net_without_labels_is_left_as_it_begins() -> None:
    for name in (*CLASSIFIERS, *TUNED):
        params = settings(name, "none", 3, 2.0)
        assert (params["lr"], params["epochs"], params.get("warps", 0)) == (1e-12, 1, 0)
        assert settings(name, "ward", 3, 2.0)["labels"] == "ward"
        assert settings(name, "real", 1, 2.0)["epochs"] == 1
        assert settings(name, "real", None, 2.0)["epochs"] > 1
    assert [settings(name, "real", None, 2.0)["tune"] for name in TUNED] == ["lora", "head", "all"]


def test_encoders_are_random_or_trained_on_other_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(tmp_path), "--machines", "fan", "--labels", "real", "--seeds", "1", "--size", "tiny", "--seconds", "1"]
    assert main([*words, "--families", "finetuned-head,pretrained", "--epochs", "1"]) == 0
    rows = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows] == 3 * ["`finetuned-head`", "`pretrained`"]  # the best variant, `knn` and `maha`
    assert all(row[2] != "–" for row in rows)
    assert [row[-1] == "–" for row in rows] == 3 * [True, False]  # what needs no labels is measured without
    assert main([*words, "--families", "pretrained", "--encoder-epochs", "1"]) == 0
    trained = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert len(trained) == 3
    assert trained != rows[1::2], "the encoder has other weights"


def test_a_cell_has_the_mean_and_the_least_of_the_seeds() -> None:
    rows = [("idnn", "fan", "none", seed, variant, value) for seed, variant, value in
            [(0, "a", 0.5), (0, "knn", 0.4), (1, "a", 0.6), (1, "knn", 0.7)]]  # fmt: skip
    outcomes = pd.DataFrame(rows, columns=["family", "machine", "labels", "seed", "variant", "value"])
    assert cells(table(outcomes).splitlines()[-1]) == ["`idnn`", "fan", "–", "–", "–", "–", "0.600 (0.500)"]
    assert cells(table(outcomes, "knn").splitlines()[-1])[-1] == "0.550 (0.400)"


def test_every_column_is_measured_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(tmp_path), "--families", "embedding_knn", "--machines", "fan", "--epochs", "1"]
    words += ["--seeds", "1", "--size", "tiny", "--seconds", "1"]
    assert main(words) == 0
    first = capsys.readouterr()
    assert first.err.count("embedding_knn of fan") == len(COLUMNS)
    head, _, row = [line for line in first.out.splitlines() if line.startswith("|")][:3]
    assert cells(head) == ["family", "machine", *COLUMNS]
    assert all(0 < float(cell.split()[0]) < 1 for cell in cells(row)[2:])
    low, high = (float(word) for word in first.out.splitlines()[-1].split() if word.startswith("0."))
    assert 0.2 < low < 0.5 < high < 0.8
    assert main(words) == 0
    again = capsys.readouterr()
    assert (again.out, again.err) == (first.out, "")
