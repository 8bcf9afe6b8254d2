"""Bundles: their scores are the ledger's, for every family; they can be moved; what was changed is refused by name."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from asd_ray import FAMILIES, AsdRayError, Bundle, Dataset, Run
from asd_ray.conformance.workspace import Workspace
from asd_ray.deploy import bundle_file, writing
from asd_ray.deploy.scoring import Unscored, files_of_layout, score_files
from asd_ray.detectors.state_file import from_bytes, to_bytes
from asd_ray.ensembling import scores_of
from asd_ray.families import family
from asd_ray.ledger.states import States

from ..conformance_setups import SETUPS
from ..test_library import LOUDNESS
from .conftest import SmallRun, space_file

HELD_OUT = 0.34  # of six clips per id, so that each id has normal clips that no detector has learned from


def small_space(folder: Path, name: str) -> Path:
    """The paper's setting as the conformance suite makes it small, for one epoch."""
    known = family(name)
    smaller = SETUPS.get(name, {}).get("smaller", {})
    own = {key: value for key, value in smaller.items() if key in known.parameters}
    paper = {**known.search_space().paper, "hop": 4, "epochs": 1, **own}
    return space_file(folder, name, {key: value for key, value in paper.items() if key in known.parameters})


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_scores_of_a_bundle_are_those_of_the_ledger(name: str, tmp_path: Path, one_thread: None) -> None:
    """For every family and all of its variants: what was searched, stored, bundled, read and scored from the files."""
    Workspace(tmp_path, seconds=SETUPS.get(name, {}).get("seconds", 1.0)).bank("plain")
    data, run = Dataset(tmp_path / "plain", cache=tmp_path / "cache"), Run(tmp_path / "run")
    space = small_space(tmp_path, name)
    run.search(data, "fan", families=name, spaces={name: space}, trials=1, serial=True, quiet=True, held_out=HELD_OUT)
    (record,) = run.records()
    assert record.status == "complete", record.error
    every = tmp_path / "every.toml"
    every.write_text('select = "label_free"\nvariants = "all"\n')
    ensemble = run.ensemble("fan", str(every))
    bundle = run.bundle("fan", tmp_path / "fan.bundle", recipe=ensemble.name)
    variants = {member.variant for member in bundle.members}
    variants |= {text.split(" ")[1] for text in ensemble.candidates.left_out}  # one score for all clips
    assert variants == set(run.scores(record, variant="all")["variant"])

    stored = scores_of(run.ledger, ensemble)
    stored = stored[stored["split"] == "test"].set_index("clip")["score"]
    files = [file for file in files_of_layout(tmp_path / "plain", "dcase2022", "fan") if "/test/" in file.path]
    results = list(score_files(bundle, files))
    assert len(results) == len(stored) == 8
    ledger = run.scores(record, variant="all", splits="test").set_index(["clip", "variant"])["score"]
    statistics = bundle.calibration.statistics
    for result in results:
        assert not isinstance(result, Unscored)
        clip = Path(result.name).name
        at = statistics.groups.index(result.id) if result.id in statistics.groups else -1
        rounding = 1e-5  # in units of the ensemble
        for row, member in enumerate(bundle.members):
            unit, scale = result.members[f"{member.name} {member.variant}"], statistics.scale[row, at]
            raw, before = unit * scale + statistics.centre[row, at], ledger[clip, member.variant]
            # 1e-7: the rounding of 1 - cosine. A classifier of one epoch has embeddings that are that close.
            assert raw == pytest.approx(before, rel=1e-5, abs=max(1e-5 * scale, 1e-7)), member.variant
            rounding = max(rounding, (1e-5 * abs(before) + 1e-7) / scale)
        assert result.score == pytest.approx(stored[clip], rel=1e-5, abs=rounding)


def test_a_bundle_is_moved_and_scores_the_same(small: SmallRun, tmp_path: Path) -> None:
    moved = tmp_path / "somewhere else" / "b"
    shutil.copytree(small.folder, moved)
    for clip in small.clips[:3]:
        assert Bundle.load(moved).score(clip) == small.load().score(clip)


def test_a_bundle_holds_no_code_no_pickle_and_no_path_of_its_computer(small: SmallRun) -> None:
    files = [path for path in small.folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".md", ".txt", ".safetensors", ""}
    place = str(small.folder.parent).encode()
    for path in files:
        content = path.read_bytes()
        assert place not in content, path.name
        assert not zipfile.is_zipfile(path), "as torch.save writes"


@pytest.mark.parametrize(
    "name", ["bundle.json", "ensemble.json", "MODEL_CARD.md", "requirements.txt", "states", "SHA256SUMS"]
)
@pytest.mark.parametrize("how", ["changed", "cut", "removed", "a folder"])
def test_a_tampered_bundle_is_refused_by_name(small: SmallRun, tmp_path: Path, name: str, how: str) -> None:
    copy = tmp_path / "b"
    shutil.copytree(small.folder, copy)
    path = sorted((copy / "states").iterdir())[0] if name == "states" else copy / name
    content = path.read_bytes()
    if how == "changed":
        path.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
        if how == "a folder":
            path.mkdir()
    with pytest.raises(AsdRayError) as caught:
        Bundle.load(copy)
    message = str(caught.value)
    other = "it was changed after the bundle was written" in message or "is no bundle" in message
    assert path.name in message or (name == "SHA256SUMS" and other), message
    assert "asd-ray bundle" in message


def rewritten(folder: Path, name: str, **changes: Any) -> None:
    """A bundle whose checksums fit its changed content."""
    values = json.loads((folder / name).read_text()) | changes
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files[name] = json.dumps(values).encode()
    files.pop("SHA256SUMS")
    bundle_file.write(folder, files)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "asd_ray-bundle/9"}, "the format is 'asd_ray-bundle/9' but must be 'asd_ray-bundle/1'"),
        ({"rate": "fast"}, "rate must be a whole number"),
        ({"machine": "pump"}, "are of different ensembles"),
        ({"detectors": []}, "detectors must"),
        ({"calibration": {}}, "bundle.json: "),
        ({"profiles": {"00": {}}}, "bundle.json: "),
    ],
)
def test_a_false_bundle_is_refused(small: SmallRun, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    shutil.copytree(small.folder, tmp_path / "b")
    rewritten(tmp_path / "b", "bundle.json", **changes)
    with pytest.raises(AsdRayError, match=message):
        Bundle.load(tmp_path / "b")


@pytest.mark.parametrize("field", ["version", "front_end"])
def test_a_detector_that_has_changed_since_is_refused(small: SmallRun, tmp_path: Path, field: str) -> None:
    shutil.copytree(small.folder, tmp_path / "b")
    detectors = json.loads((small.folder / "bundle.json").read_text())["detectors"]
    detectors[0][field] = "99"
    rewritten(tmp_path / "b", "bundle.json", detectors=detectors)
    with pytest.raises(AsdRayError, match="version 99|its front end has changed"):
        Bundle.load(tmp_path / "b")


@pytest.mark.parametrize("place", ["nowhere", "a file", "empty"])
def test_what_is_no_bundle_is_named(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    if place == "a file":
        path.write_text("x")
    elif place == "empty":
        path.mkdir()
    with pytest.raises(AsdRayError, match="write one with: asd-ray bundle MACHINE --run RUN"):
        Bundle.load(path)


@pytest.mark.parametrize("mine", [["notes.txt"], ["bundle.json"], ["bundle.json", "SHA256SUMS"]], ids=" ".join)
def test_a_folder_with_other_files_is_not_replaced_and_a_bundle_is(
    small: SmallRun, tmp_path: Path, mine: list[str]
) -> None:
    (tmp_path / "mine").mkdir()
    for name in mine:
        (tmp_path / "mine" / name).write_text("{}")
    with pytest.raises(AsdRayError, match="this folder holds other files"):
        small.run.bundle("fan", tmp_path / "mine", recipe="best_single")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == sorted(mine)
    small.run.bundle("fan", tmp_path / "b", recipe="best_single")
    again = small.run.bundle("fan", tmp_path / "b", recipe="label_free.mean")
    assert again.ensemble.name == "label_free.mean"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "mine"]
    (tmp_path / "b" / "photo.jpg").write_text("mine")
    with pytest.raises(AsdRayError, match=r"this folder holds other files, such as photo\.jpg"):
        again.save(tmp_path / "b")
    assert (tmp_path / "b" / "photo.jpg").read_text() == "mine"


def test_an_ensemble_that_ranks_test_clips_is_refused(small: SmallRun) -> None:
    ensemble = dataclasses.replace(small.load().ensemble, combine="rank_mean")
    with pytest.raises(AsdRayError, match="it cannot score one new clip"):
        writing.check_bundled(ensemble)


def test_an_ensemble_standardised_by_test_clips_is_refused(small: SmallRun) -> None:
    ensemble = small.load().ensemble
    by_test = dataclasses.replace(ensemble, recipe=dataclasses.replace(ensemble.recipe, by="test"))
    with pytest.raises(AsdRayError, match="standardises by the test clips, faults included"):
        writing.check_bundled(by_test)


def test_a_state_of_another_run_of_the_trial_is_not_used(small: SmallRun, tmp_path: Path) -> None:
    """As if the scores in the ledger were of one run of a trial, and its state of another."""
    shutil.copytree(small.run.layout.root, tmp_path / "run")
    run = Run(tmp_path / "run")
    states = States(run.ledger)
    record = next(record for record in run.records() if record.family == "idnn")
    content = states.read("idnn", record.trial)
    assert content is not None
    state, about = from_bytes(content, "x")
    states.put("idnn", record.trial, to_bytes(state, {**about, "scores": {"fan": "0" * 20}}))
    with pytest.raises(AsdRayError, match="the search kept no state of fan-idnn-0000"):
        run.bundle("fan", tmp_path / "b", recipe="label_free.mean")


@pytest.mark.parametrize(
    ("machine", "recipe", "message"),
    [("fan", "greedy", "no ensemble 'greedy'; stored:"), ("pump", "final", "unknown machine 'pump'")],
)
def test_an_ensemble_that_is_not_there_is_named(small: SmallRun, machine: str, recipe: str, message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        small.run.bundle(machine, recipe=recipe)


def test_what_scoring_needs_is_what_the_project_needs() -> None:
    """requirements.txt of a bundle has the project's own bounds, and no package that the project lacks."""
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for line in writing.NEEDS:
        assert f'"{line}"' in project, line
    assert not {line for line in writing.NEEDS if line.startswith(("ray", "optuna"))}


def test_a_class_of_ones_own_is_given_to_load_or_imported(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_level.py").write_text(LOUDNESS)
    monkeypatch.syspath_prepend(tmp_path)
    import my_level  # type: ignore[import-not-found]

    run = Run(tmp_path / "run")
    data = Dataset(small.data.root, cache=tmp_path / "cache")
    run.search(data, "fan", families=my_level.Loudness, trials=1, serial=True, quiet=True)
    run.ensemble("fan", "best_single")
    bundle = run.bundle("fan", tmp_path / "b")
    expected = bundle.score(small.clips[0]).score
    assert Bundle.load(tmp_path / "b").score(small.clips[0]).score == expected
    monkeypatch.delitem(sys.modules, "my_level")
    (tmp_path / "my_level.py").unlink()
    with pytest.raises(AsdRayError, match="my_level"):
        Bundle.load(tmp_path / "b")
    assert Bundle.load(tmp_path / "b", families=[my_level.Loudness]).score(small.clips[0]).score == expected
    (tmp_path / "my_level.py").write_text(LOUDNESS.replace("levels - self.mean", "levels - 1.5 * self.mean"))
    with pytest.raises(AsdRayError, match="it was trained by version code-.* which gives other scores"):
        Bundle.load(tmp_path / "b")
