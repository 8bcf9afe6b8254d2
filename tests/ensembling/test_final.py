"""final.json: the best of all that is stored for the same candidates, and never a worse one unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, choose, read, verify
from asd_ray.ensembling.ensemble_file import CHECKSUM
from asd_ray.ensembling.result import Tried
from asd_ray.ledger import Ledger
from tests.ensembling.conftest import make_ledger
from tests.hostile import Answer, Verbs, unharmed

QUICK = ("--folds", "2", "--repeats", "1")
WORST = 'select = "slots"\ncombine = "min"\n[[slots]]\nfamily = "weak"\n'  # below the best single candidate
Run = Callable[..., Answer]


def fill(root: Path, families: tuple[str, ...] = ("idnn", "weak")) -> Ledger:
    def change(family: str, number: int, variant: str, scores: Any) -> Any:
        return -scores if family == "weak" else scores

    settings = {family: [{"lr": 0.1}, {"lr": 0.2}] for family in families}
    return make_ledger(root, settings, strength=1.0, variants=("mse",), change=change)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "run")
    (tmp_path / "worst.toml").write_text(WORST)
    return tmp_path / "run"


@pytest.fixture
def run(root: Path, verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("--recipe", "greedy")``; a name that ends in .toml lies beside the run."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(root.parent)

    def act(*words: object, status: int = 0) -> Answer:
        answer = verbs("ensemble", "fan", "--run", root, *QUICK, *words)
        assert answer.status == status, answer
        return answer

    return act


def final(root: Path) -> Ensemble:
    return read(root / "ensembles/fan/final.json")


def names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "ensembles/fan").glob("*.json"))


def test_a_worse_recipe_does_not_take_its_place_and_counts(root: Path, run: Run) -> None:
    run("--recipe", "best_single", "--recipe", "top_k")
    before = final(root)
    output = run("--recipe", "worst.toml").out
    after = final(root)
    assert after.recipe == before.recipe
    assert after.metrics["crossval"].value == before.metrics["crossval"].value
    assert after.tried == Tried(4, "crossval", ("best_single", "top_k.max", "top_k.mean", "worst"))
    assert f"fan: {after.name}, the best of 4 recipes by crossval, 3 of them stored before" in output
    assert set(verify(Ledger(root), after).values()) == {0.0}
    assert read(root / "ensembles/fan/worst.json").tried == after.tried


def test_a_better_recipe_takes_its_place(root: Path, run: Run) -> None:
    run("--recipe", "worst.toml")
    assert final(root).name == "worst"
    output = run("--recipe", "best_single").out
    assert "fan: best_single, the best of 2 recipes by crossval, 1 of them stored before" in output
    assert final(root).tried.recipes == 2


def test_one_that_is_asked_for_takes_its_place_and_keeps_it(root: Path, run: Run) -> None:
    run("--recipe", "best_single")
    output = run("--recipe", "worst.toml", "--final").out
    assert "fan: worst, chosen by a user (--final) of 2 recipes, 1 of them stored before" in output
    assert final(root).tried.chosen_by == "user"
    output = run("--recipe", "top_k").out
    assert "note: final.json was not replaced: a user chose worst (--final)" in output
    assert final(root).name == "worst"
    assert final(root).tried.recipes == 4
    output = run().out  # every recipe
    assert "note: final.json was worst, which a user chose (--final); without --recipe the best of all" in output
    assert final(root).tried.chosen_by == "crossval"
    assert final(root).name != "worst"
    assert "worst" in final(root).tried.names


def test_more_recipes_make_the_claim_of_the_best_harder(root: Path, run: Run) -> None:
    """The correction is that of one command with all of them."""
    run("--recipe", "best_single")
    run("--recipe", "top_k")
    run("--recipe", "greedy")
    apart = final(root)
    (root / "ensembles").rename(root / "before")
    run("--recipe", "best_single", "--recipe", "top_k", "--recipe", "greedy")
    assert replace(final(root), created="", checksum=None) == replace(
        apart, created="", recipe_source="", checksum=None
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--maximise", "auc"), "chosen with other options (maximise hmean)"),
        (("--seed", "1"), "chosen with other options (seed 0)"),
        (("--percentile", "80"), "chosen with other options (percentile 90.0)"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_other_options_are_not_compared_and_one_recipe_does_not_replace(
    root: Path, run: Run, options: tuple[str, ...], reason: str
) -> None:
    run("--recipe", "best_single", "--recipe", "top_k")
    before = final(root)
    output = run("--recipe", "best_single", *options).out
    stays = f"note: final.json was not replaced: {before.name}, {reason}; to replace it, run asd-ray ensemble fan"
    assert stays in output
    assert f"not compared: top_k.max, top_k.mean, {reason}" in output
    assert final(root) == before
    output = run("--recipe", "best_single", "--recipe", "top_k", *options).out  # all that it was the best of
    assert f"note: final.json was {before.name}, {reason}; it was replaced" in output
    assert final(root).config != before.config


def test_a_full_comparison_of_new_candidates_replaces_an_older_one(root: Path, run: Run) -> None:
    run("--recipe", "best_single", "--recipe", "top_k")
    before = final(root)
    fill(root, ("other",))
    output = run("--recipe", "worst.toml").out
    reason = "chosen from other candidates (4 then, 6 now)"
    assert f"final.json was not replaced: {before.name}, {reason}" in output
    assert final(root) == before
    output = run().out
    assert f"final.json was {before.name}, {reason}; it was replaced" in output
    assert final(root).candidates.tried == 6
    assert "worst" in final(root).tried.names


def test_a_recipe_that_was_edited_is_kept_beside_the_new_one_and_counts(root: Path, run: Run) -> None:
    mine = root.parent / "mine.toml"
    for k in (1, 2, 3):
        mine.write_text(f'select = "top_k"\nk = {k}\n')
        run("--recipe", "mine.toml")
    kept = [name for name in names(root) if name.startswith("mine.")]
    assert len(kept) == 2
    assert final(root).tried.names == tuple(sorted(["mine", *kept]))
    assert {read(root / f"ensembles/fan/{name}.json").recipe.k for name in (*kept, "mine")} == {1, 2, 3}
    run("--recipe", "mine.toml")
    assert final(root).tried.recipes == 3


def test_two_files_of_one_name_in_two_folders_are_kept_apart(root: Path, run: Run) -> None:
    for folder, k in (("a", 1), ("b", 2)):
        (root.parent / folder).mkdir()
        (root.parent / folder / "mine.toml").write_text(f'select = "top_k"\nk = {k}\n')
        run("--recipe", f"{folder}/mine.toml")
    assert len(names(root)) == 3
    run("--recipe", "a/mine.toml", "--recipe", "b/mine.toml", status=2)


def test_ensembles_of_earlier_rules_are_built_anew_and_compared(root: Path, run: Run) -> None:
    earlier = EnsembleConfig(folds=2, repeats=1, rules=1)
    choose(Ledger(root), "fan", ["best_single", "top_k"], earlier)
    assert final(root).config.rules == 1
    answer = run("--recipe", "worst.toml")
    assert "other options" not in answer.out
    assert final(root).config.rules == EnsembleConfig().rules
    assert final(root).tried.recipes == 4
    assert {read(path).config.rules for path in (root / "ensembles/fan").glob("*.json")} == {EnsembleConfig().rules}


@pytest.mark.parametrize("lacks", [(CHECKSUM,), (CHECKSUM, "resampled_gains", "tried")], ids=len)
def test_files_of_an_earlier_version_are_built_anew_and_compared(root: Path, run: Run, lacks: tuple[str, ...]) -> None:
    run("--recipe", "best_single", "--recipe", "top_k")
    before = final(root)
    for path in (root / "ensembles/fan").glob("*.json"):
        old = {key: part for key, part in json.loads(path.read_text()).items() if key not in lacks}
        old["metrics"]["crossval"]["value"] = 0.99  # nothing in it says that this is not so
        path.write_text(json.dumps(old))
    run("--recipe", "worst.toml")
    after = final(root)
    assert after.metrics["crossval"].value == before.metrics["crossval"].value
    assert after.tried.recipes == 4


def test_a_stored_value_that_somebody_raised_is_not_believed(root: Path, run: Run) -> None:
    run("--recipe", "best_single", "--recipe", "worst.toml")
    path = root / "ensembles/fan/worst.json"
    changed = json.loads(path.read_text())
    changed["metrics"]["crossval"]["value"] = 1.0
    path.write_text(json.dumps(changed))
    output = run("--recipe", "top_k").out
    assert "not compared: worst, changed after it was written" in output
    assert final(root).name != "worst"


def test_json_is_the_final_one_even_where_another_was_made(root: Path, run: Run) -> None:
    run("--recipe", "best_single")
    stored = json.loads(run("--recipe", "worst.toml", "--json").out)["machines"]["fan"]
    assert stored == final(root).to_json()
    assert stored["recipe"]["name"] == "best_single"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("best_single.toml", ("a shipped recipe's ensemble is called best_single; rename your file",)),
        ("Best_Single.toml", ("a shipped recipe's ensemble is called Best_Single; rename your file",)),
        ("greedy.mean.toml", ("a shipped recipe's ensemble is called greedy.mean",)),
        ("greedy.toml", ("a shipped recipe's ensemble is called greedy",)),
        ("final.toml", ("the chosen ensemble is called final; rename your file",)),
        ("FINAL.toml", ("rename your file",)),
        ("..toml", ("recipe name '.'", "must not start with a dot")),
        (".toml", ("unknown recipe", "or name a file: mine.toml")),
        (".mine.toml", ("recipe name '.mine'", "must not start with a dot", "rename it")),
        ("my mix.toml", ("recipe name 'my mix'", "rename it")),
        ("ünit.toml", ("recipe name 'ünit'", "rename it")),
        ("[red].toml", ("recipe name '[red]'", "rename it")),
        ("=1+1.toml", ("recipe name '=1+1'",)),
        ("x" * 200 + ".toml", ("recipe name 'xxx", "1 to 128", "rename it")),
        ("x" * 300 + ".toml", ("cannot be read (File name too long)",)),
        ("", ("unknown recipe ''",)),
        (".", ("unknown recipe '.'",)),
        ("..", ("unknown recipe '..'",)),
        ("../worst", ("no such file; shipped recipes",)),
        ("nowhere/mine.toml", ("no such file",)),
        ("worst.toml/mine.toml", ("no such file",)),
        ("run/", ("no such file",)),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_name_that_could_take_anothers_place_is_refused(
    root: Path, verbs: Verbs, monkeypatch: pytest.MonkeyPatch, name: str, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(root.parent)
    if name.endswith(".toml") and "/" not in name and len(name) < 250:
        (root.parent / name).write_text(WORST)
    with unharmed(root):
        verbs.refused("ensemble", "fan", "--run", root, "--recipe", name, *QUICK, words=words)
    assert not (root / "ensembles").exists()


def test_names_that_differ_in_case_only_are_refused(root: Path, run: Run) -> None:
    (root.parent / "WORST.toml").write_text(WORST)
    assert "two recipes would be called" in run("--recipe", "worst.toml", "--recipe", "WORST.toml", status=2).err
    run("--recipe", "worst.toml")
    with unharmed(root):
        output = run("--recipe", "WORST.toml", status=2).err
    assert "the ensemble of WORST would overwrite worst; rename your recipe's file" in output


def test_every_unreadable_file_is_kept_when_it_gives_way(root: Path, run: Run) -> None:
    folder = root / "ensembles/fan"
    folder.mkdir(parents=True)
    for content in ("first", "second", "third", "second"):
        (folder / "final.json").write_text(content)
        run("--recipe", "best_single")
        assert final(root).name == "best_single"
    kept = {path.name: path.read_text() for path in folder.glob("*.unreadable*")}
    assert kept == {
        "final.json.unreadable": "first",
        "final.json.unreadable.1": "second",
        "final.json.unreadable.2": "third",
    }
