"""A run as a search leaves it, with ensembles, and with names and messages that would break a careless page."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from asd_ray._listening import ogg
from asd_ray.ensemble import main as ensemble
from asd_ray.ledger import Ledger, RunLayout, Settings, TrialRecord, long_scores, trial_hash
from asd_ray.reporting import gather, write
from asd_ray.reporting.media import ClipMedia, Media

EVIL = "</script><script>alert('x')</script><b>&\"'"
FINGERPRINT = "0123456789abcdef"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def clips(machine: str = "fan", *, per_cell: int = 12, label_of_test: str | None = None) -> pd.DataFrame:
    """Two ids, two domains; training and held-out normals."""
    rows = []
    for number in ("00", "01"):
        for domain in ("source", "target"):
            for split, labels in (("train", ["normal"]), ("held_out", ["normal"]), ("test", ["normal", "anomaly"])):
                for label in labels:
                    expected = label_of_test if split == "test" and label_of_test else label
                    rows += [
                        (
                            f"{machine}/{split}/{label}_{number}_{domain}_{at:03d}.wav",
                            number,
                            domain,
                            split,
                            expected,
                            label,
                        )
                        for at in range(per_cell)
                    ]
    table = pd.DataFrame(rows, columns=["clip", "id", "domain", "split", "label", "truth"])
    first = table.index[table["split"] == "test"][0]
    table.loc[first, "clip"] = f"{machine}/{EVIL}.wav"
    return table


def fill(
    ledger: Ledger, machine: str, *, trials: int = 12, year: int | None = 2022, seeds: int = 1, **how: object
) -> None:
    """Families of unlike strength, the last trials of each pruned and failed."""
    table = clips(machine, **how)  # type: ignore[arg-type]
    loud = (table["truth"] == "anomaly").to_numpy()
    for strength, family in enumerate(("idnn", "knn", "stgram")):
        common = np.random.default_rng([strength, len(machine)]).normal(size=len(table))
        for number in range(trials * seeds):
            seed, at = divmod(number, trials)
            draw = np.random.default_rng([strength, number, len(machine)])
            lr = float(10 ** draw.uniform(-5, -2)) if at else 1e-3
            good = 0.6 + 0.4 * strength - 0.3 * abs(np.log10(lr) + 3.5)
            scores = {
                name: common + 0.7 * draw.normal(size=len(table)) + good * factor * loud
                for name, factor in (("mse", 1.0), ("max", 0.7))
            }
            status = "pruned" if at and at % 6 == 0 else "failed" if at and at % 7 == 0 else "complete"
            record = TrialRecord(
                trial=trial_hash(family=family, number=number, machine=machine),
                name=f"{machine}-{family}-{number:04d}",
                machine=machine,
                family=family,
                number=number,
                seed=seed,
                params={"lr": lr, "norm": "batch" if at % 2 else EVIL, "layers": 2 + at % 3, "epochs": 20},
                status=status,
                epochs=20 if status == "complete" else 5,
                objective=0.55 + 0.1 * good if status == "complete" else None,
                variant="mse" if status == "complete" else "",
                intermediate={} if status == "failed" else {5: 0.5 + 0.05 * good},
                protocol="oracle",
                error=f"RuntimeError: {EVIL}" if status == "failed" else "",
                seconds=4.0 * (strength + 1) + at,
                device="cpu" if strength < 2 else "NVIDIA H100",
                versions={"asd_ray": "0.1.0"},
                dataset="simulated",
                data_fingerprint=FINGERPRINT,
                settings=Settings(year=year),
                paper=at == 0,
            )
            ledger.commit(record, long_scores(table, scores) if status == "complete" else None)


KINDS = ("tone", "click")


def fill_normal_only(ledger: Ledger, machine: str, *, trials: int = 4, test: str = "none", families: int = 2) -> None:
    """Trials of a search by normal sound alone. `test`: none, unknown or known, which is what its test clips are."""
    table = clips(machine)
    wanted = ("train", "held_out") if test == "none" else ("train", "held_out", "test")
    table = table[table["split"].isin(wanted)]
    if test == "unknown":
        table["label"] = table["label"].where(table["split"] != "test", "unknown")
    sources = table[table["split"] == "held_out"]
    faults = [
        sources.assign(clip=sources["clip"] + f"~{kind}~{level}", split="fault", label="anomaly", truth=kind)
        for kind in KINDS
        for level in range(2)
    ]
    table = pd.concat([table, *faults], ignore_index=True)
    for strength, family in enumerate(("idnn", "knn")[:families], 1):
        for number in range(trials):
            draw = np.random.default_rng([strength, number, len(machine)])
            good = 0.4 * strength + 0.3 * number
            loud = table["truth"].map({"normal": 0.0, "anomaly": good, "tone": 2 * good, "click": good}).to_numpy()
            record = TrialRecord(
                trial=trial_hash(family=family, number=number, machine=machine, objective="normal-only"),
                name=f"{machine}-{family}-{number:04d}",
                machine=machine,
                family=family,
                number=number,
                params={"lr": 1e-3 / (1 + number)},
                epochs=20,
                objective=0.5 + 0.05 * good,
                variant="mse",
                protocol="label_free",
                seconds=2.0 + number,
                device="cpu",
                dataset="simulated",
                data_fingerprint=FINGERPRINT,
                settings=Settings(year=2022, objective="normal-only"),
                paper=number == 0,
            )
            ledger.commit(record, long_scores(table, {"mse": draw.normal(size=len(table)) + loud}))


def choose(run: Path, *recipes: str, machines: tuple[str, ...] = ()) -> None:
    asked = [part for name in recipes for part in ("--recipe", name)]
    assert ensemble([*machines, "--run", str(run), "--folds", "2", "--repeats", "1", *asked]) == 0


def media_of(facts: Any, seconds: float = 2.0) -> Media:
    """Sounds and pictures for every clip that is listed, made as `asd_ray._listening` makes them."""
    wave = (8000 * np.sin(np.arange(round(16_000 * seconds)) * 0.2)).astype(np.int16)
    file = io.BytesIO()
    Image.new("P", (990, 352), 9).save(file, "PNG")
    return Media(
        {
            (machine, clip.clip): ClipMedia(ogg(wave, 16_000), file.getvalue(), f"tonal, {EVIL}")
            for machine, own in facts["machines"].items()
            for clip in own["mistakes"].clips
        },
        {"fan": (f"left out: {EVIL}",)},
    )


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two machines with ensembles and one without; read it, write elsewhere."""
    run = tmp_path_factory.mktemp("runs") / "simulated"
    ledger = Ledger(run)
    fill(ledger, "fan", trials=14)
    fill(ledger, "ToyCar", trials=4, seeds=2)
    choose(run, "best_single", "best_per_family", "greedy", "label_free")
    fill(ledger, "valve", trials=2)
    return run


@pytest.fixture(scope="session")
def report(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `filled`, with sounds and pictures."""
    folder = tmp_path_factory.mktemp("report")
    facts = gather(Ledger(filled))
    write(facts, RunLayout(folder), str(folder), media_of(facts))
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    if not CHROMIUM:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as found:
        result = found.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )  # root has none, as in a container
        yield result
        result.close()
