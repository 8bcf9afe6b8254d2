"""Members without a state are trained again from their records, and compared with the ledger."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asd_ray import AsdRayError, Dataset, Run
from asd_ray.ensembling import scores_of
from asd_ray.ledger.states import States

from ..tuning.conftest import record
from .conftest import SMALL, SmallRun, space_file


@pytest.fixture
def without_states(small: SmallRun, tmp_path: Path) -> Run:
    """The same run, whose search kept no states."""
    shutil.copytree(small.run.layout.root, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "states")
    return Run(tmp_path / "run")


def test_without_states_the_dataset_is_needed(without_states: Run, tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match=r"the search kept no state of fan-idnn-0000, fan-twfr_gmm-0000.*data"):
        without_states.bundle("fan", tmp_path / "b", recipe="every")
    assert not (tmp_path / "b").exists()


def test_trained_again_the_members_give_the_same_scores(small: SmallRun, without_states: Run, tmp_path: Path) -> None:
    data = Dataset(small.data.root, cache=tmp_path / "cache")
    bundle = without_states.bundle("fan", tmp_path / "b", recipe="every", data=data, serial=True)
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
    bundle = without_states.bundle("fan", tmp_path / "b", recipe="every", data=data, serial=True)
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "its scores differ from those of the search by up to" in card
    after = [bundle.score(clip, id="00").score for clip in clips]  # the shift is in the units, too
    assert after == pytest.approx(before, rel=1e-2, abs=1e-3)


def test_refit_trains_on_all_normal_clips_and_says_whose_numbers_it_has(small: SmallRun, tmp_path: Path) -> None:
    data = Dataset(small.data.root, cache=tmp_path / "cache")
    with pytest.raises(AsdRayError, match="trains every member anew, which needs the clips"):
        small.run.bundle("fan", tmp_path / "b", refit_all=True)
    bundle = small.run.bundle("fan", tmp_path / "b", recipe="every", data=data, refit_all=True, serial=True)
    assert bundle.profiles[""].clips == 12
    assert small.load().profiles[""].clips < 12
    assert bundle.threshold == small.load().threshold
    assert bundle.score(small.clips[0]).score != small.load().score(small.clips[0]).score
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "All numbers of this card are those of the ensemble before that" in " ".join(card.split())


def test_other_clips_than_those_of_the_search_are_refused(without_states: Run, small: SmallRun, tmp_path: Path) -> None:
    shutil.copytree(small.data.root, tmp_path / "other")
    next((tmp_path / "other" / "dev_data" / "fan" / "train").glob("*.wav")).unlink()
    with pytest.raises(AsdRayError, match="was trained on other clips of fan"):
        without_states.bundle("fan", tmp_path / "b", data=tmp_path / "other", serial=True)


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


def test_broken_clips_that_a_search_left_out_are_left_out_again(small: SmallRun, tmp_path: Path) -> None:
    """By its bundle and by the sounds of its report."""
    shutil.copytree(small.data.root, tmp_path / "broken")
    next((tmp_path / "broken" / "dev_data" / "fan" / "train").glob("*.wav")).write_bytes(b"no sound")
    data, run = Dataset(tmp_path / "broken", cache=tmp_path / "cache", skip_broken=True), Run(tmp_path / "run")
    space = space_file(tmp_path, "twfr_gmm", SMALL["twfr_gmm"])
    options = {"spaces": {"twfr_gmm": space}, "trials": 1, "keep_states": "none", "serial": True, "quiet": True}
    run.search(data, families="twfr_gmm", **options)
    run.ensemble("fan", ["label_free"], percentile=60.0, threshold="empirical")
    run.bundle("fan", tmp_path / "b", data=data, serial=True)
    assert "trained again, with the scores of the search" in (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "<audio controls" in Path(run.report(tmp_path / "page", data).page).read_text()
