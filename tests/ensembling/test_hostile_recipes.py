"""Recipes and options that make no sense: one message with the path, the rule and the cure, in bounded time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_ray.ensembling import EnsembleConfig, Standardiser, build
from asd_ray.ensembling.candidates import CONSTANT, LeftOut
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.greedy import PATIENCE, greedy
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.ensembling.recipe_file import read_recipe
from asd_ray.ensembling.requirements import check
from asd_ray.errors import AsdRayError
from tests.ensembling.conftest import make_candidates, make_ledger
from tests.hostile import Verbs, bounded, unharmed

SLOT = 'select = "slots"\n[[slots]]\nfamily = "idnn"\n'
DEEP = 5_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes") / "run"
    make_ledger(folder, strength=0.4)
    return folder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("select is missing; give one of best, slots",)),
        ("select", ("this is no TOML",)),
        ("select = 3", ("select must be text but is 3",)),
        ("select = 1979-05-27T07:32:00Z", ("select must be text but is datetime",)),
        ('select = "luck"', ("unknown way to select 'luck'",)),
        ('select = "best"\nselect = "best"', ("this is no TOML",)),
        *(
            (f'select = "greedy"\nsize = {size}', (rule,))
            for size, rule in (
                ("0", "size must be at least 1 but got 0"),
                ("-1", "size must be at least 1 but got -1"),
                ("1e5", "size must be a whole number but is 100000.0"),
                ("1_000_000_000_000_000_000", "size must be at most 1000000 but got 1000000000000000000"),
                ("0x" + 5000 * "f", "size must be at most 1000000 but got a number of thousands of digits"),
                ("true", "size must be a whole number but is True"),
                ("1.5", "size must be a whole number but is 1.5"),
                ('"3"', "size must be a whole number but is '3'"),
                ("inf", "size must be a whole number but is inf"),
                ("nan", "size must be a whole number but is nan"),
                ("[3]", "size must be a whole number but is [3]"),
                ("{a = 3}", "size must be a whole number but is {'a': 3}"),
                ("9" * 400, "size must be at most 1000000 but got 9999"),
                ("9" * 5000, "this is no TOML"),
            )
        ),
        ('select = "greedy"\nbags = 1000000', ("bags must be at most 1000",)),
        ('select = "greedy"\nfraction = nan', ("fraction must be in (0, 1] but got nan",)),
        ('select = "greedy"\nfraction = 0', ("fraction must be in (0, 1] but got 0",)),
        ('select = "greedy"\nfraction = "half"', ("fraction must be a whole number or a number but is 'half'",)),
        ('select = "greedy"\ncombine = "median"', ("greedy selection combines by mean or max but got 'median'",)),
        ('select = "optuna_weights"\ntrials = 1000000000', ("trials must be at most 10000",)),
        ('select = "top_k"\ncombine = []', ("combine must name one way or more",)),
        ('select = "top_k"\ncombine = ["mean", "mean"]', ("combine names a way twice",)),
        ('select = "top_k"\ncombine = [1]', ("combine must be texts",)),
        ('select = "top_k"\ncombine = "sum"', ("unknown way to combine 'sum'",)),
        ('select = "top_k"\nweights = [1, -1]', ("unknown field 'weights'",)),
        ('select = "top_k"\nname = "final"', ("unknown field 'name'",)),
        ('select = "top_k"\nby = "luck"', ("unknown split to standardise by 'luck'",)),
        ('select = "top_k"\nstandardise = 3', ("standardise must be a table but is 3",)),
        ('select = "top_k"\n[standardise]\nfloor = nan', ("floor of a standardiser must be in [0, 1] but got nan",)),
        ('select = "top_k"\n[standardise]\nhow = "luck"', ("unknown way to standardise 'luck'",)),
        ('select = "top_k"\n[standardise]\nceiling = 1', ("unknown field of standardise 'ceiling'",)),
        ('select = "slots"', ('select = "slots" needs [[slots]] with a family each',)),
        ('select = "slots"\nslots = []', ('select = "slots" needs [[slots]] with a family each',)),
        ('select = "slots"\nslots = [{}]', ("a slot needs a family but is {}",)),
        (
            'select = "slots"\nslots = [1, "idnn"]',
            ("a slot needs a family but is 1", "a slot needs a family but is 'idnn'"),
        ),
        ('select = "slots"\n[[slots]]\nfamily = ""', ("a slot needs a family",)),
        ('select = "slots"\n[[slots]]\nfamily = 3', ("a slot needs a family",)),
        (SLOT + SLOT.partition("\n")[2], ("slot idnn stands twice",)),
        (SLOT + "variants = [1]", ("variants of a slot must be texts",)),
        (SLOT + 'variants = "mse"', ("variants of a slot must be a list but is 'mse'",)),
        (SLOT + "distinct = [1]", ('distinct of a slot must be texts such as ["lr"] but are [1]',)),
        (SLOT + 'distinct = "lr"', ("distinct of a slot must be a list but is 'lr'",)),
        (SLOT + 'distinct = ["lr"]', ("distinct of a slot keeps its members apart, but its size is 1",)),
        (SLOT + "size = true", ("size of a slot must be a whole number but is True",)),
        (SLOT + "size = 0", ("size of a slot must be at least 1 but is 0",)),
        (SLOT + "size = 10000000000", ("size of a slot must be at most 1000000 but is 10000000000",)),
        (SLOT + "paper = 1", ("paper of a slot must be true or false but is 1",)),
        (SLOT + "paper = true\nsize = true", ("size of a slot must be a whole number but is True",)),
        (
            SLOT.replace("slots", "best", 1) + "size = 2",
            ('only select = "slots" takes several members of a slot, but it is "best"',),
        ),
        (SLOT + "weight = nan", ("unknown field of a slot 'weight'",)),
        (SLOT + "params = {lr = nan}", ("params of a slot must be texts, finite numbers", "lr is nan")),
        (SLOT + "params = {lr = 1979-05-27}", ("lr is datetime.date(1979, 5, 27)",)),
        (SLOT + "params = {lr = {a = 1}}", ("lr is {'a': 1}",)),
        ('select = "slots"\n' + '[[slots]]\nfamily = "idnn"\n' * 101, ("slots must be at most 100 but are 101",)),
        ("x = " + "[" * DEEP, ("nested more than 20 deep",)),
        ("x = " + "[" * DEEP + "]" * DEEP, ("nested more than 20 deep",)),
        ("x = " + "{a=" * DEEP + "1" + "}" * DEEP, ("nested more than 20 deep",)),
        ("x" + ".a" * DEEP + " = 1", ("nested more than 20 deep",)),
        ("x" + ".a" * 900 + " = 1", ("nested more than 20 deep",)),
        ('select = "best"\n' + "\n".join(f"x{n} = 1" for n in range(4000)), ("… and 3990 more",)),
        (b'select = "b\xffst"', ("this is no TOML", "can't decode")),
        ('select = "best"'.encode("utf-16"), ("this is no TOML",)),
        (b'select = "best"\0', ("this is no TOML",)),
        (b"# " + b"x" * 2**20, ("this is no TOML", "larger than 64 KiB")),
    ],
    ids=lambda value: f"{value!r:.40}" if isinstance(value, str | bytes) else "",
)
def test_a_recipe_that_makes_no_sense_is_refused(
    root: Path, tmp_path: Path, verbs: Verbs, text: str | bytes, words: tuple[str, ...]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with unharmed(root), bounded(seconds=20, gib=1):
        verbs.refused("ensemble", "fan", "--run", root, "--recipe", path, words=("mine.toml: ", *words))
    assert not (root / "ensembles").exists()


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b'\xef\xbb\xbfselect = "best"\n')
    assert read_recipe(tmp_path / "mine.toml").select == "best"


def test_what_is_no_file_is_refused_and_does_not_hang(root: Path, tmp_path: Path, verbs: Verbs) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    for name in ("pipe.toml", "folder.toml", "none.toml"):
        verbs.refused("ensemble", "fan", "--run", root, "--recipe", tmp_path / name, words=("no such file",))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--folds", "0"), "must be a whole number from 1"),
        (("--folds", "1"), "folds must be 2 or more but got 1"),
        (("--folds", "1e9"), "must be a whole number from 1 but got '1e9'"),
        (("--folds", "1000000000"), "folds must be 1000000 or less but got 1000000000"),
        (("--repeats", "1000000000"), "repeats must be 1000 or less but got 1000000000"),
        (("--repeats", "9" * 5000), "must be a whole number from 1 but got"),
        (("--repeats", "-1"), "must be a whole number from 1"),
        (("--seed", "-1"), "seed must be 0 or more but got -1"),
        (("--seed", "4294967296"), "seed must be 4294967295 or less"),
        (("--seed", "x"), "invalid int value"),
        (("--percentile", "nan"), "percentile must be above 0 and below 100 but got nan"),
        (("--percentile", "inf"), "percentile must be above 0"),
        (("--percentile", "0"), "percentile must be above 0"),
        (("--maximise", "f1"), "invalid choice"),
        (("--threshold", "0.5"), "invalid choice"),
        (("--fpr", "2"), "unrecognized arguments"),
        (("--bootstrap", "1000000000"), "unrecognized arguments"),
        (("--recipe", ""), "unknown recipe ''"),
        (("--verify", ""), "no such file"),
        (("--final",), "name a recipe: --recipe NAME --final"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_an_option_that_makes_no_sense_is_refused(
    root: Path, verbs: Verbs, options: tuple[str, ...], word: str
) -> None:
    with unharmed(root), bounded(seconds=20, gib=1):
        verbs.refused("ensemble", "fan", "--run", root, *options, words=(word,), lines=25)
    assert not (root / "ensembles").exists()


def test_an_empty_run_is_not_taken_for_the_one_in_runs(verbs: Verbs) -> None:
    verbs.refused("ensemble", "fan", "--run", "", words=("the path of the run is empty",))


@pytest.mark.parametrize("size", [100_000, 1_000_000])
@pytest.mark.parametrize("how", ["mean", "max"])
def test_greedy_ends_when_nothing_gets_better(size: int, how: str) -> None:
    evaluation = EvaluationSet.of(make_candidates((0.5, 0.6, 0.7, 0.4)), Standardiser())
    with bounded(seconds=20, gib=1):
        chosen = greedy(evaluation.scores, evaluation.scorer, how, size=size)
    values = [value for _, value in chosen.trail]
    assert len(values) <= values.index(max(values)) + 1 + PATIENCE
    assert sum(chosen.weights) == values.index(max(values)) + 1
    few = greedy(evaluation.scores, evaluation.scorer, how, size=25)  # as ever
    assert chosen.trail[:25] == few.trail


def test_a_huge_greedy_recipe_ends(root: Path, tmp_path: Path, verbs: Verbs) -> None:
    (tmp_path / "huge.toml").write_text('select = "greedy"\nsize = 100000\npool = 1000000\nbags = 3\n')
    with bounded(seconds=60, gib=1):
        words = ("--recipe", tmp_path / "huge.toml", "--folds", "2", "--repeats", "1")
        ledger = make_ledger(tmp_path / "run", strength=0.4)
        assert verbs("ensemble", "fan", "--run", ledger.layout.root, *words).status == 0


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        (Slot("idn"), "recipe mine has an unknown family 'idn'; did you mean 'idnn'? known: aegan_ad, "),
        (Slot("my_family"), "a family of your own has the name that asd-ray ledger ls shows, once it was searched"),
        (Slot("../x"), "unknown family '../x'"),
        (Slot("stgram"), "needs stgram, which no complete trial has; run: asd-ray search fan --families stgram"),
        (Slot("idnn", ("mes",)), "needs idnn (variant mes), but the variants of idnn are mse; name one of these"),
        (Slot("idnn", params={"rate": 1}), "but no trial of idnn has a parameter rate; known: lr"),
        (Slot("idnn", params={"lr": 7}), "run: asd-ray search fan --families idnn --set lr=7"),
        (Slot("idnn", size=2, distinct=("mix",)), "but no trial of idnn has a parameter mix; known: lr"),
        (Slot("stgram", params={"net": "1e5", "on": True}), """--set 'net="1e5"' --set on=true"""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_slot_that_nothing_fits_is_told_the_true_reason(slot: Slot, message: str) -> None:
    with pytest.raises(AsdRayError) as raised:
        check(Recipe("mine", "slots", slots=(slot,)), make_candidates())
    assert message in str(raised.value)
    assert ("asd-ray search" in str(raised.value)) == ("no complete trial has" in str(raised.value))


@pytest.mark.parametrize(
    ("reason", "cure"),
    [
        (
            CONSTANT,
            "constant scores cannot be standardised: the detector learned nothing; search other",
        ),
        ("no held_out scores", "standardise by other clips: --by train"),
        ("held_out scores of other clips", "standardise by other clips: --by train"),
        ("test scores of other clips", "their clips are those of another dataset; search in a separate run"),
    ],
)
def test_a_family_that_was_left_out_is_not_said_to_be_missing(reason: str, cure: str) -> None:
    from dataclasses import replace

    gone = tuple(LeftOut(f"fan-stgram-000{n}", "stgram", "mse", reason) for n in range(3))
    with pytest.raises(AsdRayError) as raised:
        check(Recipe("mine", "slots", slots=(Slot("stgram"),)), replace(make_candidates(), left_out=gone))
    expected = f"needs stgram, whose candidates cannot be used ({reason}: fan-stgram-0000 mse and 2 more); {cure}"
    assert expected in str(raised.value)


def test_constant_scores_are_the_reason_that_is_given(tmp_path: Path, verbs: Verbs) -> None:
    def change(family: str, number: int, variant: str, scores: Any) -> Any:
        return np.full_like(scores, 3.0) if family == "group_made" else scores

    make_ledger(tmp_path / "run", change=change)
    words = (
        "giri_system_4 needs group_made (frames 5, ",
        "whose candidates cannot be used (constant scores: fan-group_made-0000 mse",
    )
    verbs.refused("ensemble", "fan", "--run", tmp_path / "run", "--recipe", "giri_system_4", words=words)


def test_papers_settings_that_saw_test_labels_are_said_to_have() -> None:
    from dataclasses import replace

    few = make_candidates()
    with pytest.raises(AsdRayError, match=r"test labels chose the epoch of every such trial \(--checkpoint oracle\)"):
        check(Recipe("label_free", "label_free"), replace(few, table=few.table.assign(peeked=True)))


VALUES = st.one_of(
    st.sampled_from(("true", "nan", "-inf", "1e400", "0", "-1", "3", "10000000000", '"mean"', '"max"', '"idnn"', '""')),
    st.sampled_from(("1979-05-27", "07:32:00", "[]", "{}", '["mean"]', "[[1], {}]", '[{family = "idnn"}]', "'\\x1b'")),
    st.sampled_from(('[{family = "idnn", params = {lr = 1}}]', '"greedy"', '"slots"', '"label_free"', '"top_k"')),
)
NAMES = st.sampled_from(
    (*Recipe.__dataclass_fields__, "slots.family", "standardise.how", "standardise.floor", "[slots]", '"ü"', "x.y.z")
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(lines=st.lists(st.tuples(NAMES, VALUES), max_size=4), select=VALUES, junk=st.binary(max_size=6))
def test_any_text_is_a_recipe_or_one_message(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]], select: str, junk: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    text = "\n".join([f"select = {select}", *(f"{name} = {value}" for name, value in lines)])
    for content in (text.encode(), text.encode() + b"\n" + junk):
        path.write_bytes(content)
        with contextlib.suppress(AsdRayError):
            assert read_recipe(path).ways()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    select=st.sampled_from(("best", "slots", "best_per_family", "top_k", "greedy", "label_free")),
    numbers=st.dictionaries(st.sampled_from(("k", "size", "pool", "bags")), st.integers(1, 30)),
    how=st.sampled_from(("mean", "max", "min", "median", "rank_mean")),
    slots=st.lists(
        st.builds(
            Slot,
            st.sampled_from(("idnn", "group_made", "stgram", "x")),
            st.sampled_from(((), ("mse",), ("y",))),
            st.sampled_from(({}, {"lr": 1.0}, {"z": None})),
            st.integers(1, 3),
            st.just(()),
            st.booleans(),
        ),
        max_size=3,
    ),
)
def test_any_recipe_is_followed_or_one_message(
    select: str, numbers: dict[str, int], how: str, slots: list[Slot]
) -> None:
    try:
        recipe = Recipe("any", select, (how,), tuple(slots), **numbers)
        ensemble = build(make_candidates(per=4), recipe, EnsembleConfig(repeats=1, folds=2, draws=10))
    except AsdRayError:
        return
    assert ensemble.members
