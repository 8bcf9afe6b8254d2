"""A folder with nothing but normal sound, from the search to scores of new sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray import AsdRayError, Bundle, Dataset, Run
from asd_ray.cli.score import main as score
from asd_ray.ensembling.unmeasured import NOT_MEASURED
from tests.deploy.conftest import SMALL, make_normal_sound, space_file


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search of normal sound alone, its ensembles, its report and its bundle."""
    folder = tmp_path_factory.mktemp("normal_only")
    make_normal_sound(folder)
    spaces = {family: space_file(folder, family, params) for family, params in SMALL.items()}
    run = Run(folder / "run")
    run.search(
        data_of(folder),
        "fan",
        families=list(SMALL),
        spaces=spaces,
        trials=1,
        held_out=0.4,
        serial=True,
        quiet=True,
    )
    run.ensemble("fan")
    run.report(folder / "report")
    run.bundle("fan", folder / "fan.bundle")
    return run


def data_of(folder: Path) -> Dataset:
    return Dataset(folder / "sound", cache=folder / "cache")


def folder_of(run: Run) -> Path:
    return Path(run.layout.root).parent


def test_the_search_compares_by_injected_faults(searched: Run) -> None:
    best = searched.best("fan")
    assert best.settings is not None
    assert best.settings.objective == "normal-only"
    assert set(searched.trials()["unit"]) == {"faults"}
    assert set(searched.scores(best)["split"]) == {"train", "held_out", "fault", "crop"}


def test_the_final_ensemble_says_what_was_not_measured(searched: Run) -> None:
    final = searched.ensembles("fan")["fan"]["final"]
    assert final.headline is None
    assert f"{NOT_MEASURED}; the machine has no test clips" in final.notes
    page = (folder_of(searched) / "report" / "report.html").read_text()
    assert NOT_MEASURED in page
    assert "Injected faults</h3>" in page


def test_the_bundle_scores_with_a_threshold_of_held_out_clips(
    searched: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(searched)
    card = next((folder / "fan.bundle").glob("*.md")).read_text()
    assert f"{NOT_MEASURED.capitalize()}. How well it finds real faults is not known." in card
    assert "held-out normal clips" in card
    loud = folder / "loud.wav"
    soundfile.write(loud, np.random.default_rng(0).normal(0, 0.2, 16_000), 16_000, subtype="PCM_16")
    assert score([str(folder / "fan.bundle"), str(loud), "--exit-status"]) == 3  # an anomaly
    assert "anomaly" in capsys.readouterr().out


def test_a_member_without_state_is_trained_again_without_faults(searched: Run, tmp_path: Path) -> None:
    folder = folder_of(searched)
    spaces = {family: space_file(tmp_path, family, params) for family, params in SMALL.items()}
    run = Run(tmp_path / "run")
    options = {"families": list(SMALL), "spaces": spaces, "trials": 1, "held_out": 0.4, "serial": True, "quiet": True}
    run.search(data_of(folder), "fan", keep_states="none", **options)
    run.ensemble("fan")
    with pytest.raises(AsdRayError, match="the search kept no state of"):
        run.bundle("fan", tmp_path / "again.bundle")
    again = run.bundle("fan", tmp_path / "again.bundle", data=data_of(folder), serial=True)
    assert "trained again, with the scores of the search" in next((tmp_path / "again.bundle").glob("*.md")).read_text()
    clip = next((folder / "sound").rglob("*.wav"))
    kept = Bundle.load(folder / "fan.bundle")
    assert again.score(clip, id="00").score == pytest.approx(kept.score(clip, id="00").score, rel=1e-4)


def test_all_members_are_trained_anew_on_all_normal_clips(searched: Run, tmp_path: Path) -> None:
    folder = folder_of(searched)
    bundle = searched.bundle("fan", tmp_path / "all.bundle", data=data_of(folder), refit_all=True, serial=True)
    assert bundle.profiles[""].clips == len(list((folder / "sound").rglob("*.wav")))
