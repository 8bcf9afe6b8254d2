"""Bundles: their scores are the ledger's, for every family; they can be moved; what was changed is refused by name."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_ray import FAMILIES, AsdRayError, Bundle, Dataset, Run
from asd_ray.conformance.workspace import Workspace
from asd_ray.deploy import bundle_file, writing
from asd_ray.deploy.scoring import Unscored, files_of, files_of_layout, score_files
from asd_ray.detectors.state_file import from_bytes, to_bytes
from asd_ray.ensembling import scores_of
from asd_ray.families import family
from asd_ray.ledger.states import States

from ..conformance_setups import SETUPS
from ..tuning.conftest import record
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
    ensemble = run.ensemble("fan", "label_free")
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


# -- thresholds and units ----------------------------------------------------------------------------------------------


def test_decisions_follow_the_threshold(small: SmallRun) -> None:
    bundle = small.load()
    result = bundle.score(small.clips[0])
    assert bundle.with_threshold(result.score - 0.01).score(small.clips[0]).decision == "anomaly"
    assert bundle.with_threshold(result.score).score(small.clips[0]).decision == "normal"
    assert bundle.with_threshold(result.score).score(small.clips[0]).score == result.score


def test_false_alarms_move_the_threshold(small: SmallRun) -> None:
    bundle = small.load()
    few, many = bundle.with_false_alarms(0.01).threshold, bundle.with_false_alarms(0.5).threshold
    normal = bundle.normal_scores("")
    assert few > many
    assert np.mean(normal > many) == pytest.approx(0.5, abs=0.26)
    for share in (0.0, 1.0, -1, 2, float("nan")):
        with pytest.raises(AsdRayError, match="must be above 0 and below 1"):
            bundle.with_false_alarms(share)


def test_the_share_of_normal_clips_below(small: SmallRun) -> None:
    bundle = small.load()
    normal = bundle.normal_scores("00")
    for clip in small.clips:
        result = bundle.score(clip, id="00")
        assert result.share_below == np.mean(normal < result.score)


def test_calibration_with_the_same_clips_changes_nothing(small: SmallRun) -> None:
    """The held-out clips of the search, given as new normal recordings."""
    bundle = small.load()
    stored = scores_of(small.run.ledger, bundle.ensemble)
    split = next(split for split in stored["split"].unique() if split != "test")
    clips = small.data.clips.set_index("clip")
    waves: dict[str, list[Any]] = {}
    for clip, id in stored[stored["split"] == split][["clip", "id"]].itertuples(index=False):
        path = Path(small.data.root) / clips[clips["split"] == "train"].loc[clip, "path"]
        waves.setdefault(id, []).append(soundfile.read(path, dtype="int16")[0])
    again = bundle.recalibrated(waves)
    np.testing.assert_allclose(again.calibration.statistics.centre, bundle.calibration.statistics.centre, rtol=1e-5)
    np.testing.assert_allclose(again.normal_scores(""), bundle.normal_scores(""), rtol=1e-4, atol=1e-5)
    assert again.threshold == pytest.approx(bundle.threshold, abs=1e-2)
    with pytest.raises(AsdRayError, match="give normal recordings"):
        bundle.recalibrated({"00": []})


def test_calibration_in_another_room_moves_units_and_threshold(small: SmallRun) -> None:
    """Sound that is 12 dB quieter is anomalous to the bundle, and normal after calibration with such sound."""
    bundle = small.load()
    normal = [soundfile.read(path, dtype="int16")[0] for path in small.clips if "normal" in path.name]
    quiet = [wave // 4 for wave in normal]
    before = np.mean([result.decision == "anomaly" for result in bundle.score_waves(quiet)])
    after = np.mean([result.decision == "anomaly" for result in bundle.recalibrated({"": quiet}).score_waves(quiet)])
    assert before > 0.7
    assert after < 0.5


def test_calibration_of_one_id_leaves_the_others_alone(small: SmallRun) -> None:
    bundle = small.load()
    quiet = [soundfile.read(path, dtype="int16")[0] // 4 for path in small.clips if "section_00" in path.name]
    changed = bundle.recalibrated({"00": quiet * 2})
    other = next(path for path in small.clips if "section_01" in path.name)
    before, after = bundle.score(other, id="01"), changed.score(other, id="01")
    assert after.score == before.score
    assert changed.score(quiet[0], 16_000, id="00").score != bundle.score(quiet[0], 16_000, id="00").score
    assert "00" in changed.calibration.normal
    assert len(changed.normal_scores("")) == len(quiet * 2) + len(bundle.calibration.normal["01"])


def test_a_calibrated_bundle_is_saved_and_says_so(small: SmallRun, tmp_path: Path) -> None:
    bundle = small.load()
    quiet = [soundfile.read(path, dtype="int16")[0] // 4 for path in small.clips if "normal" in path.name]
    changed = bundle.recalibrated({"": quiet}).with_false_alarms(0.2)
    saved = Bundle.load(changed.save(tmp_path / "b"))
    assert saved.score_waves(quiet) == changed.score_waves(quiet)
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "after the ensemble was measured" in card
    assert "80th percentile" in card
    saved.with_threshold(2.5).save(tmp_path / "b")  # over itself
    assert Bundle.load(tmp_path / "b").threshold == 2.5
    assert "A user chose this threshold" in (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert small.load().threshold == bundle.threshold


# -- what is scored ----------------------------------------------------------------------------------------------------


def test_arrays_score_as_their_files(small: SmallRun) -> None:
    bundle, clip = small.load(), small.clips[0]
    samples, rate = soundfile.read(clip, dtype="int16")
    expected = bundle.score(clip)
    assert bundle.score(samples, rate).score == expected.score
    assert bundle.score(samples / 32768.0, rate).score == expected.score
    assert bundle.score(np.stack([samples, samples * 0], axis=1), rate).score == expected.score
    (wave,) = bundle.score_waves([samples])
    assert wave.score == expected.score


@pytest.mark.parametrize(
    ("array", "rate", "message"),
    [
        (np.zeros(16_000), None, "an array has no sample rate"),
        (np.zeros(100), 16_000, "too short"),
        (np.zeros(16_000, int), 16_000, "must be int16 or floats"),
        (np.full(16_000, np.nan), 16_000, "NaN"),
        (np.full(16_000, 3000.0), 16_000, "far outside"),
        (np.zeros((2, 16_000)), 16_000, r"\[samples, channels\]"),
        (np.zeros(16_000), 10**9, "rate must be between"),
        (np.array(["a"]), 16_000, "must be int16 or floats"),
    ],
)
def test_an_array_that_is_no_sound_is_refused(small: SmallRun, array: Any, rate: int | None, message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        small.load().score(array, rate)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_rate_and_any_number_of_channels(small: SmallRun, tmp_path: Path, rate: int) -> None:
    bundle = small.load()
    noise = np.random.default_rng(0).normal(0, 0.1, (rate, 3))
    soundfile.write(tmp_path / "a.flac", noise, rate)
    assert np.isfinite(bundle.score(tmp_path / "a.flac").score)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda wave: wave * 0, "it is silent"),
        (lambda wave: wave // 30, "dB quieter than the quietest training clip"),
        (lambda wave: np.clip(wave.astype(int) * 30, -32768, 32767).astype(np.int16), "at full scale"),
        (lambda wave: np.tile(wave, 3), "it lasts 3.0 s and the training clips 1 s"),
        (lambda wave: wave, ""),
    ],
)
def test_a_sound_unlike_the_training_clips_gets_a_warning(small: SmallRun, change: Any, warning: str) -> None:
    samples, rate = soundfile.read(small.clips[0], dtype="int16")
    result = small.load().score(change(samples), rate)
    assert any(warning in text for text in result.warnings) if warning else result.warnings == ()


def test_a_sound_of_a_lower_rate_gets_a_warning(small: SmallRun) -> None:
    result = small.load().score(np.random.default_rng(0).normal(0, 0.1, 8_000), 8_000)
    assert any("recorded at 8000 Hz and the training clips at 16000 Hz" in text for text in result.warnings)


def test_an_unknown_id_is_compared_with_all(small: SmallRun) -> None:
    bundle = small.load()
    assert bundle.ids == ("00", "01")
    unknown, any_id = bundle.score(small.clips[0], id="77"), bundle.score(small.clips[0])
    assert unknown.score == any_id.score
    assert (unknown.id, any_id.id) == ("77", "")


def test_files_and_folders_in_constant_batches(small: SmallRun, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number, clip in enumerate(small.clips * 3):
        shutil.copy(clip, tmp_path / "a" / f"{number:03d}_{clip.name}")
    (tmp_path / "a" / "broken.wav").write_bytes(b"RIFF1234")
    (tmp_path / "a" / "notes.txt").write_text("not audio")
    bundle = small.load()
    files = list(files_of([tmp_path / "a"], bundle.ids))
    results = list(score_files(bundle, files))
    assert len(files) == len(results) == 3 * len(small.clips) + 1
    assert [file.path for file in files] == [result.name for result in results]
    (broken,) = [result for result in results if isinstance(result, Unscored)]
    assert broken.name.endswith("broken.wav")
    assert {result.id for result in results if not isinstance(result, Unscored)} == {"00", "01"}
    alone = bundle.score(small.clips[0], id="00").score
    same = next(result for result in results if small.clips[0].name in result.name)
    assert not isinstance(same, Unscored)
    assert same.score == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("path", ["nowhere.wav", "empty"])
def test_no_sound_to_score_is_an_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AsdRayError, match="no such file|no wav or flac file"):
        list(files_of([tmp_path / path]))


# -- members that are trained again ------------------------------------------------------------------------------------


@pytest.fixture
def without_states(small: SmallRun, tmp_path: Path) -> Run:
    """The same run, whose search kept no states."""
    shutil.copytree(small.run.layout.root, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "states")
    return Run(tmp_path / "run")


def test_without_states_the_dataset_is_needed(without_states: Run, tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match=r"the search kept no state of fan-idnn-0000, fan-twfr_gmm-0000.*data"):
        without_states.bundle("fan", tmp_path / "b", recipe="label_free.mean")
    assert not (tmp_path / "b").exists()


def test_trained_again_the_members_give_the_same_scores(small: SmallRun, without_states: Run, tmp_path: Path) -> None:
    data = Dataset(small.data.root, cache=tmp_path / "cache")
    bundle = without_states.bundle("fan", tmp_path / "b", recipe="label_free.mean", data=data, serial=True)
    for clip in small.clips[:4]:
        assert bundle.score(clip, id="00").score == pytest.approx(small.load().score(clip, id="00").score, rel=1e-4)
    assert "trained again, with the scores of the search" in (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert States(without_states.ledger).bytes_by_family() == {}, "the run stays as it was"


def test_other_scores_are_said_and_the_units_are_computed_anew(
    small: SmallRun, without_states: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another computer that rounds otherwise: here the detector's scores are shifted by 3."""
    from asd_ray.detectors.families.idnn import IDNN

    score, clips = IDNN.score, small.clips[:4]
    before = [small.load().score(clip, id="00").score for clip in clips]
    monkeypatch.setattr(IDNN, "score", lambda self, clips: {k: v + 3.0 for k, v in score(self, clips).items()})
    data = Dataset(small.data.root, cache=tmp_path / "cache")
    bundle = without_states.bundle("fan", tmp_path / "b", recipe="label_free.mean", data=data, serial=True)
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "its scores differ from those of the search by up to" in card
    after = [bundle.score(clip, id="00").score for clip in clips]  # the shift is in the units, too
    assert after == pytest.approx(before, rel=1e-2, abs=1e-3)


def test_refit_trains_on_all_normal_clips_and_says_whose_numbers_it_has(small: SmallRun, tmp_path: Path) -> None:
    data = Dataset(small.data.root, cache=tmp_path / "cache")
    with pytest.raises(AsdRayError, match="trains every member anew, which needs the clips"):
        small.run.bundle("fan", tmp_path / "b", refit_all=True)
    bundle = small.run.bundle("fan", tmp_path / "b", recipe="label_free.mean", data=data, refit_all=True, serial=True)
    assert bundle.profiles[""].clips == 12
    assert small.load().profiles[""].clips < 12
    assert bundle.threshold == small.load().threshold
    assert bundle.score(small.clips[0]).score != small.load().score(small.clips[0]).score
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "All numbers below are those of the ensemble before that" in " ".join(card.split())


def test_other_clips_than_those_of_the_search_are_refused(without_states: Run, small: SmallRun, tmp_path: Path) -> None:
    shutil.copytree(small.data.root, tmp_path / "other")
    next((tmp_path / "other" / "dev_data" / "fan" / "train").glob("*.wav")).unlink()
    with pytest.raises(AsdRayError, match="was trained on other clips of fan"):
        without_states.bundle("fan", tmp_path / "b", data=tmp_path / "other", serial=True)


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


def test_a_detector_of_several_machines_is_bundled_for_one(tmp_path: Path) -> None:
    """Kept by the search, and trained again from its record."""
    for machine in ("fan", "pump"):
        record(tmp_path / "two", machine)
    data, run = Dataset(tmp_path / "two", cache=tmp_path / "cache"), Run(tmp_path / "run")
    space = space_file(tmp_path, "idnn", {"frames": 5, "hidden": 16, "lr": 1e-3, "batch_size": 64, "epochs": 1})
    run.search(data, families="idnn", spaces={"idnn": space}, trials=1, jointly=True, serial=True, quiet=True)
    ensemble = run.ensemble("pump", "best_single")
    stored = scores_of(run.ledger, ensemble).set_index(["split", "clip"])["score"]["test"]
    files = sorted((tmp_path / "two" / "dev_data" / "pump" / "test").glob("*.wav"))
    kept = run.bundle("pump", tmp_path / "kept.bundle")
    assert kept.profiles[""].clips == 22, "of the pump alone"
    for file in files[:4]:
        assert kept.score(file).score == pytest.approx(stored[file.name], rel=1e-5, abs=1e-5)
    shutil.rmtree(tmp_path / "run" / "states")
    again = run.bundle("pump", tmp_path / "again.bundle", data=data, serial=True)
    for file in files[:4]:
        assert again.score(file).score == pytest.approx(stored[file.name], rel=1e-4, abs=1e-4)


OWN_CLASS = """
from asd_ray import Dataset, Run, Bundle
import numpy as np
from asd_ray import PRESETS, Progress, Resources


class Level:
    RESOURCES = Resources()

    def __init__(self, context, *, power=2.0):
        self.context, self.power, self.mean = context, power, 0.0

    @staticmethod
    def space(trial):
        return {"power": trial.suggest_float("power", 0.5, 4.0)}

    @property
    def front_end(self):
        return PRESETS["baseline"].at(self.context.rate)

    def fit(self, train):
        self.mean = float(self._levels(train).mean())
        yield Progress(1, {"level": self.mean})

    def _levels(self, clips):
        return np.array([np.mean(np.abs(clips.samples(i) / 32768.0) ** self.power) for i in range(len(clips))])

    def score(self, clips):
        return {"level": self._levels(clips) - self.mean}

    def state(self):
        return {"mean": self.mean}

    def load(self, state):
        self.mean = state["mean"]
"""


def test_a_class_of_ones_own_is_given_to_load_or_imported(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_level.py").write_text(OWN_CLASS)
    monkeypatch.syspath_prepend(tmp_path)
    import my_level  # type: ignore[import-not-found]

    run = Run(tmp_path / "run")
    data = Dataset(small.data.root, cache=tmp_path / "cache")
    run.search(data, "fan", families=my_level.Level, trials=1, serial=True, quiet=True)
    run.ensemble("fan", "best_single")
    bundle = run.bundle("fan", tmp_path / "b")
    expected = bundle.score(small.clips[0]).score
    assert Bundle.load(tmp_path / "b").score(small.clips[0]).score == expected
    monkeypatch.delitem(sys.modules, "my_level")
    (tmp_path / "my_level.py").unlink()
    with pytest.raises(AsdRayError, match="my_level"):
        Bundle.load(tmp_path / "b")
    assert Bundle.load(tmp_path / "b", families=[my_level.Level]).score(small.clips[0]).score == expected
    (tmp_path / "my_level.py").write_text(OWN_CLASS.replace("- self.mean}", "* 1.5 * self.mean}"))
    with pytest.raises(AsdRayError, match="it was trained by version code-.* which gives other scores"):
        Bundle.load(tmp_path / "b")
