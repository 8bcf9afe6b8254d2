"""Ensemble files that were changed, cut, or written by others: --verify and the report name the place, and go on."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_ray.ensembling import EnsembleConfig, build, load, read, verify, write
from asd_ray.ensembling.ensemble_file import CHECKSUM, checksum
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.schema import problem
from asd_ray.ensembling.threshold import Threshold
from asd_ray.ensembling.verifying import OWN_DISTRIBUTION, TOLERANCE
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from tests.conftest import SHARED
from tests.ensembling.conftest import make_ledger
from tests.hostile import Verbs, bounded, unharmed

QUICK = EnsembleConfig(repeats=1, folds=2, draws=20)
DEEP = 200_000
Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return make_ledger(tmp_path_factory.mktemp("hostile") / "run", strength=0.4)


@pytest.fixture(scope="module")
def good(ledger: Ledger) -> dict[str, Any]:
    path = write(ledger, build(load(ledger, "fan"), Recipe("three", "top_k", k=3), QUICK))
    ensemble = read(path)
    assert len(ensemble.members) == 3
    return ensemble.to_json()


@pytest.fixture
def answer(ledger: Ledger, verbs: Verbs, tmp_path: Path) -> Callable[..., Any]:
    """What --verify says of a file's content."""

    def act(content: Any, status: int, *words: str) -> Any:
        path = tmp_path / "x.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        with unharmed(tmp_path), bounded(seconds=20, gib=1):
            return verbs.refused("ensemble", "--verify", path, "--run", ledger.layout.root, status=status, words=words)

    return act


def checked(ledger: Ledger, content: Any) -> dict[str, float]:
    """What `verify` finds in a file's content."""
    return verify(ledger, Ensemble.from_json(content))


def resealed(content: Any) -> Any:
    """With the checksum of what it holds, as somebody who knows of it would write it."""
    return {**content, CHECKSUM: checksum(Ensemble.from_json(content))}


def put(content: Any, place: Place, value: Any) -> Any:
    changed = copy.deepcopy(content)
    inner = changed
    for each in place[:-1]:
        inner = inner[each]
    inner[place[-1]] = value(inner[place[-1]]) if callable(value) else value
    return changed


def nodes(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    yield place, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from nodes(each, (*place, key))


def test_the_file_as_it_was_written_is_right(ledger: Ledger, good: dict[str, Any]) -> None:
    assert max(checked(ledger, good).values()) < 1e-12


def test_a_fit_that_ended_elsewhere_on_another_processor_is_right_and_a_changed_one_is_not(
    ledger: Ledger, good: dict[str, Any]
) -> None:
    good = {name: part for name, part in good.items() if name != CHECKSUM}  # as in a file of an early version
    assert good["threshold"]["how"] == "gamma"
    shape, loc, scale = (good["threshold"][name] for name in ("shape", "loc", "scale"))
    shifted = {**good["threshold"], "shape": shape * (1 + 4e-6), "loc": loc - shape * 4e-6 * scale}  # of the same mean
    other = {**good, "threshold": {**shifted, "value": Threshold(**shifted).fitted_value()}}
    assert max(checked(ledger, other).values()) < 1e-12
    assert checked(ledger, {**good, "threshold": shifted})[OWN_DISTRIBUTION] > TOLERANCE
    shifted["shape"] *= 1.1
    moved = {**shifted, "value": Threshold(**shifted).fitted_value()}
    assert checked(ledger, {**good, "threshold": moved})["threshold/shape"] > 0


def test_every_file_of_the_run_before_verifies_on_this_processor() -> None:
    run = SHARED / "golden" / "run_before" / "run"
    if not run.is_dir():
        pytest.skip("the run of an earlier version is not beside this checkout")
    files = sorted((run / "ensembles" / "fan").glob("*.json"))
    assert len(files) == 12
    worst = {file.name: max(verify(Ledger(run), read(str(file))).values()) for file in files}
    assert max(worst.values()) < TOLERANCE, worst


NO_NUMBER = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("value", NO_NUMBER, ids=str)
@pytest.mark.parametrize(
    "place",
    [
        ("metrics", "crossval", "value"),
        ("metrics", "oracle", "cells", "00/pauc"),
        ("threshold", "value"),
        ("statistics", "scale", 0, 0),
    ],
    ids=lambda place: "/".join(map(str, place)),
)
def test_no_number_is_no_json(good: dict[str, Any], answer: Callable[..., Any], place: Place, value: float) -> None:
    answer(put(good, place, value), 2, "this is no JSON", "is no number of JSON", "choose the ensemble again")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("metrics", "crossval", "value"), None),
        (("metrics", "crossval", "value"), "0.9"),
        (("metrics", "crossval", "value"), True),
        (("metrics", "crossval", "value"), [0.9]),
        (("metrics", "crossval", "value"), 1.5),
        (("metrics", "oracle", "interval"), [0.1, 0.2, 0.3]),
        (("metrics", "oracle", "gain", "better"), 1),
        (("metrics", "oracle", "single", "protocol"), "luck"),
        (("metrics", "decisions"), []),
        (("threshold", "value"), "1"),
        (("threshold", "percentile"), 101),
        (("threshold", "how"), 3),
        (("statistics", "scale", 0, 0), 0),
        (("statistics", "scale", 0, 0), -1.0),
        (("statistics", "centre", 1), [0.5]),
        (("statistics", "centre"), {}),
        (("statistics", "groups", 0), 5),
        (("statistics", "groups"), ["00", "00", ""]),
        (("members",), []),
        (("members",), {"0": 1}),
        (("members", 0), "fan-idnn-0000"),
        (("members", 0, "weight"), 0),
        (("members", 0, "weight"), -1.0),
        (("members", 0, "number"), 1.0),
        (("members", 0, "params"), []),
        (("members", 0, "trial"), "tother"),
        (("combine",), "sum"),
        (("machine",), "../fan"),
        (("machine",), None),
        (("recipe", "select"), "luck"),
        (("recipe", "k"), 0),
        (("recipe", "k"), 10**18),
        (("recipe", "combine"), ["mean", "max"]),
        (("recipe", "standardise", "floor"), 2),
        (("recipe", "slots"), [{}]),
        (("recipe", "slots"), [{"family": "idnn", "variants": [], "params": {}, "size": 0}]),
        (("recipe", "slots"), [{"family": "idnn", "variants": [], "params": {}, "size": 1, "distinct": ["lr"]}]),
        (("recipe", "slots"), [{"family": "idnn", "variants": [], "params": {}, "paper": 1}]),
        (("wishes", "maximise"), "luck"),
        (("wishes", "folds"), 1),
        (("wishes", "repeats"), 10**9),
        (("wishes", "draws"), 10**12),
        (("wishes", "seed"), -1),
        (("candidates", "all"), []),
        (("candidates", "tried"), "6"),
        (("trail", 0, "step"), 0),
        (("transductive",), 0),
        (("notes",), "none"),
        (("versions", "numpy"), 2),
        (("dataset", "year"), "2022"),
        (("checksum",), 5),
    ],
    ids=lambda value: "/".join(map(str, value)) if isinstance(value, tuple) else f"{value!r:.20}",
)
def test_a_wrong_type_is_named_by_its_path(
    good: dict[str, Any], answer: Callable[..., Any], place: Place, value: Any
) -> None:
    changed = put(good, place, value)
    path = "/".join(map(str, place[:1]))
    answer(changed, 2, "x.json: ", path, "choose the ensemble again: asd-ray ensemble MACHINE --run RUN")


@pytest.mark.parametrize("name", ["recipe", "wishes", "members", "statistics", "threshold", "metrics", "candidates"])
def test_a_key_that_is_not_there_is_named(good: dict[str, Any], answer: Callable[..., Any], name: str) -> None:
    answer({key: part for key, part in good.items() if key != name}, 2, f"it lacks {name}")
    inner = next(iter(good[name])) if isinstance(good[name], dict) else "weight"
    if name != "metrics":
        changed = copy.deepcopy(good)
        del (changed[name] if isinstance(good[name], dict) else changed[name][0])[inner]
        answer(changed, 2, f"{name}{'/0' if name == 'members' else ''} lacks {inner}")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "Expecting value"),
        (b"null", "'NoneType'"),
        (b"[1]", "'list'"),
        (b"{", "no JSON"),
        (b"[" * DEEP, "50 deep"),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "50 deep"),
        (b"\xff\xfe\x00", "can't decode"),
        ("{}".encode("utf-16"), "decode"),
        (b'{"format": "asd_ray-ensemble/1", "format": "asd_ray-ensemble/1"}', "'format' stands twice"),
        (b'{"format": "\\ud800"}', "the format is '?'"),
        (b'{"format": 1e999}', "too large"),
        (b'{"format": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b'{"format": "asd_ray-ensemble/2"}', "'asd_ray-ensemble/2' but must be"),
        (b'"' + b"x" * (65 << 20) + b'"', "bytes, which is more than"),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_what_is_no_ensemble_file_is_one_message(answer: Callable[..., Any], content: bytes, word: str) -> None:
    answer(content, 2, "x.json", word, "choose the ensemble again")


def test_a_byte_order_mark_and_a_cut_file(ledger: Ledger, good: dict[str, Any], answer: Callable[..., Any]) -> None:
    text = json.dumps(good).encode()
    answer(text[:-40], 2, "this is no JSON")
    path = Path(ledger.layout.root) / "bom.json"
    path.write_bytes(b"\xef\xbb\xbf" + text)
    assert read(path).to_json() == good


def test_what_is_no_file_is_refused(verbs: Verbs, ledger: Ledger, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path, tmp_path / "pipe.json", "/dev/zero", tmp_path / ("x" * 300), "", "/dev/null/x.json"):
        verbs.refused("ensemble", "--verify", path, "--run", ledger.layout.root)


def more(given: list[Any]) -> list[Any]:
    return [*given, given[-1]]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("metrics", "crossval", "value"), lambda value: value + 1e-6),
        (("metrics", "crossval", "gain", "value"), lambda value: -value),
        (("metrics", "gap"), lambda value: -value),
        (("metrics", "oracle", "per_repeat"), more),
        (("metrics", "crossval", "labels"), "chosen by luck"),
        (("metrics", "crossval", "gain", "better"), lambda value: not value),
        (("metrics", "oracle", "cells", "05/auc"), 0.5),
        (("metrics", "decisions", "recall"), 0.001),
        (("threshold", "value"), lambda value: value * (1 + 1e-6)),
        (("threshold", "percentile"), 91.0),
        (("threshold", "value"), 10**200),
        (("statistics", "centre", 0, 0), lambda value: -value),
        (("statistics", "scale", 2, 1), lambda value: 2 * value),
        (("statistics", "groups"), ["00", "03", ""]),
        (("members", 0, "weight"), 2.0),
        (("members", 0, "name"), "fan-idnn-9999"),
        (("members", 1, "number"), lambda value: value + 1),
        (("members", 1, "params"), {"lr": 0.5}),
        (("trail",), more),
        (("trail",), lambda value: value[:-1]),
        (("trail", 0, "value"), 0.4),
        (("selection_frequency",), []),
        (("candidates", "tried"), 7),
        (("candidates", "families", "idnn"), 5),
        (("candidates", "families", "stgram"), 5),
        (("candidates", "digest"), "0" * 16),
        (("dataset", "fingerprint"), "0123456789ab"),
        (("dataset", "year"), None),
        (("combine",), "max"),
        (("labels",), "chosen without any test label"),
        (("transductive",), True),
        (("resampled_gains", 3), 0.01),
        (("resampled_gains",), more),
        (("recipe", "pool"), 999),
        (("recipe", "size"), 26),
        (("recipe", "k"), 2),
        (("wishes", "seed"), 1),
        (("wishes", "folds"), 3),
        (("notes",), ["a note"]),
        (("clips",), 48),
    ],
    ids=lambda value: "/".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_whatever_differs_from_the_ledger_is_found(
    good: dict[str, Any], answer: Callable[..., Any], place: Place, value: Any
) -> None:
    if place[-1] in ("05/auc", "stgram", "clips"):
        changed = put({**good, "clips": 0}, place[:-1], lambda part: {**part, place[-1]: value}) if place[:-1] else None
        changed = changed or {**good, "clips": value}
    else:
        changed = put(good, place, value)
    expected = answer(changed, 1, "x.json: ", "values rebuilt from ", "choose the ensemble again: asd-ray ensemble fan")
    assert "differs by 0" not in expected.text
    if place[0] not in ("recipe", "wishes", "notes") and not isinstance(value, float | int):
        answer(resealed(changed), 1, "values rebuilt")


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_a_missing_or_an_extra_member_is_found(good: dict[str, Any], answer: Callable[..., Any], keep: int) -> None:
    changed = copy.deepcopy(good)
    changed["members"] = changed["members"][: keep or 2][::-1]
    for name in ("centre", "scale"):
        changed["statistics"][name] = changed["statistics"][name][: keep or 2][::-1]
    answer(resealed(changed), 1, "differ; members/")


def test_a_file_of_an_earlier_version_is_verified_still(ledger: Ledger, good: dict[str, Any]) -> None:
    old = {name: part for name, part in good.items() if name not in (CHECKSUM, "resampled_gains")}
    assert not problem(old)
    assert set(checked(ledger, old).values()) == {0.0}


def test_tiny_scores_have_statistics_that_are_compared_in_their_unit(tmp_path: Path) -> None:
    tiny = make_ledger(tmp_path / "run", change=lambda family, number, variant, scores: scores * 1e-20)
    ensemble = build(load(tiny, "fan"), Recipe("three", "top_k", k=3), QUICK)
    assert max(verify(tiny, ensemble).values()) <= 1e-9
    for name, factor in (("scale", 1.00001), ("centre", -1)):
        changed = put(ensemble.to_json(), ("statistics", name, 0, 0), lambda value, factor=factor: value * factor)
        assert checked(tiny, changed)[f"statistics/{name}/0/0"] > 1e-6


NEW = (None, True, -1, 0, 2, 1.5, -1e300, 1e300, 10**40, "x", "", [], {}, [[]], {"x": 1}, [None], "\x1b[31m")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_node_may_be_anything(good: dict[str, Any], data: st.DataObject) -> None:
    """The schema never raises, and what it lets pass can be compared."""
    places = [place for place, _ in nodes(good) if place]
    changed = put(good, data.draw(st.sampled_from(places)), data.draw(st.sampled_from(NEW)))
    assert isinstance(problem(changed), str)


def test_files_that_pass_the_schema_are_compared_without_a_traceback(
    ledger: Ledger, good: dict[str, Any], verbs: Verbs, tmp_path: Path
) -> None:
    whole = {name: part for name, part in good.items() if name not in ("created", CHECKSUM, "resampled_gains")}
    places = [place for place, _ in nodes(whole) if place]

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(place=st.sampled_from(places), value=st.sampled_from(NEW))
    def check(place: Place, value: Any) -> None:
        changed = put(good, place, value)
        path = tmp_path / "x.json"
        path.write_text(json.dumps(changed))
        answer = verbs("ensemble", "--verify", path, "--run", ledger.layout.root)
        same = [a == b and type(a) is type(b) for (_, a), (_, b) in zip(nodes(good), nodes(changed), strict=False)]
        assert answer.status in ((0,) if changed == good and all(same) else (1, 2)), answer

    with bounded(seconds=120, gib=1):
        check()


def test_any_number_that_is_changed_is_noticed(
    ledger: Ledger, good: dict[str, Any], verbs: Verbs, tmp_path: Path
) -> None:
    numbers = [
        place
        for place, value in nodes({**good, "resampled_gains": good["resampled_gains"][:2]})
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(place=st.sampled_from(numbers), factor=st.sampled_from((1 + 2e-6, 1 - 2e-6, -1, 0, 2, 1e6)))
    def check(place: Place, factor: float) -> None:
        changed = put(good, place, lambda value: value + 1 if value * factor == value else type(value)(value * factor))
        if changed == good:
            return
        path = tmp_path / "x.json"
        path.write_text(json.dumps(changed))
        assert verbs("ensemble", "--verify", path, "--run", ledger.layout.root).status in (1, 2)

    with bounded(seconds=120, gib=1):
        check()


def test_a_file_that_cannot_be_read_for_its_rights_is_named(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.json").write_text("{}")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(AsdRayError, match=r"x.json: cannot be read \(Permission denied\); name an ensemble file"):
        read(tmp_path / "x.json")
