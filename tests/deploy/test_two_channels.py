"""From recordings of two channels to a bundle: searched, stored, bundled, scored, watched and explained."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asd_ray import AsdRayError, Bundle, Dataset, Run
from asd_ray.clips.audio import read_samples
from asd_ray.conformance.workspace import RATE, Workspace
from asd_ray.deploy.explain import Grid, explain
from asd_ray.deploy.result import ClipScore, on_every_channel
from asd_ray.deploy.scoring import files_of, score_files
from asd_ray.deploy.watch import AudioFolder, Cutting, PcmStream, Watch, Window, WindowScored
from asd_ray.ensembling import scores_of

from .conftest import space_file

SETTINGS = {
    "autoencoder": {"hidden": 16, "layers": 1, "epochs": 2, "microphone": "far"},
    "twfr_gmm": {"components": 1, "microphone": "near-far", "far_share": 0.7},
}
HELD_OUT = 0.34


@dataclass(frozen=True)
class StereoRun:
    data: Dataset
    run: Run
    bundle: Bundle

    @property
    def clips(self) -> list[Path]:
        return sorted((Path(self.data.root) / "dev_data" / "fan" / "test").glob("*.wav"))


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> StereoRun:
    folder, threads = tmp_path_factory.mktemp("stereo"), torch.get_num_threads()
    Workspace(folder, channels=2).bank("plain")
    data = Dataset(folder / "plain", cache=folder / "cache", channel="all")
    run = Run(folder / "run")
    spaces = {name: space_file(folder, name, params) for name, params in SETTINGS.items()}
    run.search(
        data, "fan", families=list(SETTINGS), spaces=spaces, trials=1, serial=True, quiet=True, held_out=HELD_OUT
    )
    every = folder / "every.toml"
    every.write_text('select = "label_free"\nvariants = "all"\n')
    run.ensemble("fan", [str(every)])
    bundle = run.bundle("fan", folder / "fan.bundle", recipe="every")
    torch.set_num_threads(threads)
    return StereoRun(data, run, bundle)


def test_scores_of_stereo_files_are_those_of_the_ledger(stereo: StereoRun) -> None:
    assert {record.status for record in stereo.run.records()} == {"complete"}
    assert {record.family: record.params["microphone"] for record in stereo.run.records()} == {
        "autoencoder": "far",
        "twfr_gmm": "near-far",
    }
    assert (stereo.bundle.channel, stereo.bundle.channels) == ("all", 2)
    stored = scores_of(stereo.run.ledger, stereo.bundle.ensemble)
    stored = stored[stored["split"] == "test"].set_index("clip")["score"]
    results = list(score_files(stereo.bundle, files_of(stereo.clips, stereo.bundle.ids)))
    assert len(results) == len(stored) == 8
    for result in results:
        assert isinstance(result, ClipScore)
        assert result.score == pytest.approx(stored[Path(result.name).name], rel=1e-4, abs=1e-4)
        assert result.seconds == 1.0
    path = stereo.clips[0]
    samples, _ = soundfile.read(path)
    assert stereo.bundle.score(samples, RATE, id="00").score == pytest.approx(results[0].score, rel=1e-6)
    swapped = stereo.bundle.score(samples[:, ::-1].copy(), RATE, id="00").score
    assert swapped != pytest.approx(results[0].score, rel=0.01), "left and right are not the same"


def test_a_file_of_one_channel_is_told(stereo: StereoRun, tmp_path: Path) -> None:
    samples, _ = soundfile.read(stereo.clips[0])
    soundfile.write(tmp_path / "mono.wav", samples[:, 0], RATE)
    with pytest.raises(AsdRayError, match="sound of 1 channel, where the training clips have 2 channels"):
        stereo.bundle.score(tmp_path / "mono.wav")
    with pytest.raises(AsdRayError, match="--channel 0: .* listen to 2 channels; leave the option out"):
        stereo.bundle.check_channel(0)
    with pytest.raises(AsdRayError, match="--channels 1: .* samples of 2 channels, interleaved"):
        stereo.bundle.check_channel("all", 1)


def test_samples_of_several_channels_are_refused_where_one_is_learned(stereo: StereoRun) -> None:
    """A bundle of ``--channel all`` and recordings of one channel."""
    profile = stereo.bundle.profiles[""]
    mono = replace(stereo.bundle, profiles={"": replace(profile, channels=(1,))})
    assert (mono.channel, mono.channels) == ("all", 1)
    with pytest.raises(AsdRayError, match="--channels 2: .* listen to one channel; .* --channel 0"):
        mono.check_channel("all", 2)
    mono.check_channel("all", 1)
    mono.check_channel("all")
    mono.check_channel(0, 2)


def windows_of(source: PcmStream | AudioFolder, seconds: float) -> list[Window]:
    stopping, found = threading.Event(), []
    for window in source.windows(Cutting(RATE, seconds, seconds), stopping):
        if isinstance(window, Window):
            found.append(window)
        elif found and isinstance(source, AudioFolder):  # a pipe ends by itself, and may pause before that
            stopping.set()
    return found


def of_pipe(samples: np.ndarray, rate: int = RATE) -> PcmStream:
    read, write = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(write, samples.tobytes()), os.close(write)), daemon=True)
    writer.start()
    return PcmStream(read, rate, 2, "all")


@pytest.mark.parametrize("rate", [RATE, 8_000])
def test_a_stream_of_two_channels_has_the_sound_of_the_file(stereo: StereoRun, rate: int) -> None:
    samples = soundfile.read(stereo.clips[0], dtype="int16")[0]
    windows = windows_of(of_pipe(samples, rate), 0.5)
    assert all(window.samples.shape == (2, RATE // 2) for window in windows)
    joined = np.concatenate([window.samples for window in windows], axis=1)
    assert joined.shape == (2, RATE * RATE // rate)
    if rate == RATE:
        assert np.array_equal(joined, samples.T)
    with pytest.raises(AsdRayError, match="at most 8 channels are kept"):
        PcmStream(0, RATE, 9, "all")


def test_a_folder_is_watched_on_every_channel(stereo: StereoRun) -> None:
    folder = stereo.clips[0].parent
    windows = windows_of(AudioFolder(folder, existing=True, settle=0.0, channel="all"), 1.0)
    whole, _ = read_samples(folder / windows[0].name, rate=RATE, channel="all")
    assert np.array_equal(windows[0].samples, whole)
    watch = Watch(stereo.bundle, of_pipe(whole.T.copy()), id="00", window=1.0, windows=True)
    scores = [event.score for event in watch if isinstance(event, WindowScored)]
    assert scores == pytest.approx([stereo.bundle.score_waves([whole], "00")[0].score])


def test_a_map_is_of_the_near_microphone(stereo: StereoRun) -> None:
    """The far channel is given to the detectors as it is."""
    whole, _ = read_samples(stereo.clips[0], rate=RATE, channel="all")
    heard: list[np.ndarray] = []

    class Listening:
        def __getattr__(self, name: str) -> object:
            return getattr(stereo.bundle, name)

        def score_waves(self, waves: Sequence[np.ndarray], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
            heard.extend(waves)
            return stereo.bundle.score_waves(waves, id, names)

    found = explain(Listening(), whole, "00", grid=Grid(4, 0.5))  # type: ignore[arg-type]
    assert found.seconds == 1.0
    assert np.isfinite(found.map.values).all()
    assert all(np.array_equal(wave[1], whole[1]) for wave in heard)
    assert any(not np.array_equal(wave[0], whole[0]) for wave in heard)
    own = explain(stereo.bundle, whole, "00", grid=Grid(4, 0.5), own=True)
    assert "autoencoder" in own.method


def test_noise_for_a_warm_up_has_every_channel(stereo: StereoRun) -> None:
    noise = np.random.default_rng(0).normal(0, 100, RATE).astype(np.int16)
    assert np.isfinite(stereo.bundle.score_waves([on_every_channel(noise, stereo.bundle)])[0].score)


def test_one_channel_has_no_far_microphone(stereo: StereoRun, tmp_path: Path) -> None:
    """Neither is it drawn, nor searched when it is fixed."""
    data, run = Dataset(stereo.data.root, cache=stereo.data.cache), Run(tmp_path / "run")
    with pytest.raises(AsdRayError, match=r"nothing is left to search:\n.*needs a second channel.*channel all"):
        run.search(
            data, "fan", families="twfr_gmm", trials=1, serial=True, quiet=True, fixed_params={"microphone": "far"}
        )
    run.search(data, "fan", families="twfr_gmm", trials=3, serial=True, quiet=True, faults=False)
    assert len(run.records()) == 3
    assert not any("microphone" in record.params for record in run.records())


def test_two_channels_are_searched(stereo: StereoRun, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.search(stereo.data, "fan", families="twfr_gmm", trials=6, serial=True, quiet=True, faults=False)
    heard = {record.params.get("microphone", "near") for record in run.records()}
    assert len(heard) > 1
    assert {record.status for record in run.records()} == {"complete"}
    one = Dataset(stereo.data.root, cache=stereo.data.cache)
    with pytest.raises(AsdRayError, match="at another rate or channel"):
        run.search(one, "fan", families="twfr_gmm", trials=9, serial=True, quiet=True)


def test_injected_faults_do_not_compare_microphones(
    stereo: StereoRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run")
    run.search(stereo.data, "fan", families="twfr_gmm", trials=5, serial=True, objective="normal-only", held_out=0.5)
    assert len(run.records()) == 5
    assert not any("microphone" in record.params for record in run.records())
    shown = capsys.readouterr()
    assert "the microphone is not searched for fan" in " ".join((shown.out + shown.err).split())
