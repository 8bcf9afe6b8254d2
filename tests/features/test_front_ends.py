from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from asd_ray._torchaudio import transforms
from asd_ray.errors import AsdRayError
from asd_ray.features import KINDS, PRESETS, Complex, FasterLogMel, FrontEnd, LogMel, Magnitude, Raw, front_end

EPSILON = float(np.finfo(np.float64).eps)
DECIBEL = 1e-3  # largest allowed difference to librosa and torchaudio


def factory_noise(seed: int = 0, seconds: float = 10.0) -> np.ndarray:
    """Harmonics over coloured noise, rounded to 16 bits like a recording."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(16_000 * seconds)) / 16_000
    hum = sum(np.sin(2 * np.pi * 49 * k * t) / k for k in range(1, 20))
    noise = np.convolve(rng.normal(size=len(t)), np.exp(-np.arange(40) / 5), "same")
    return np.rint((0.05 * hum + 0.03 * noise) * 32768).astype(np.int16)


def waves(samples: np.ndarray) -> np.ndarray:
    return samples.astype(np.float32) / 32768


def librosa_mel(y: np.ndarray, n_fft: int = 1024) -> np.ndarray:
    return librosa.feature.melspectrogram(y=y, sr=16_000, n_fft=n_fft, hop_length=512, n_mels=128, power=2.0).T


def torchaudio_mel(y: np.ndarray, **how: object) -> torch.Tensor:
    mel = transforms.MelSpectrogram(16_000, n_fft=1024, hop_length=512, n_mels=128, **how)
    return transforms.AmplitudeToDB("power")(mel(torch.from_numpy(y))).T


REFERENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "baseline_2020": lambda y: 10 * np.log10(librosa_mel(y) + EPSILON),
    "baseline": lambda y: 10 * np.log10(np.maximum(librosa_mel(y), EPSILON)),
    "aegan_ad": lambda y: librosa.power_to_db(librosa_mel(y, 2048).T, ref=1).T,
    "stgram": lambda y: torchaudio_mel(y).numpy(),
    "twfr": lambda y: torchaudio_mel(y).numpy(),
    "cp_jku": lambda y: torchaudio_mel(y, center=False).numpy(),
    "noisy_arcmix": lambda y: 10 * np.log10(librosa_mel(y, 2048) + EPSILON),
    "magnitude": lambda y: np.abs(librosa.stft(y, n_fft=1024, hop_length=512)).T,
    "kim_complex": lambda y: np.stack([(s := librosa.stft(y, n_fft=1024, hop_length=512)).real, s.imag], -1).swapaxes(
        0, 1
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_preset_equals_its_library(name: str, seed: int) -> None:
    samples = factory_noise(seed)
    result = PRESETS[name](torch.from_numpy(samples)[None])[0].numpy()
    expected = REFERENCES[name](waves(samples))
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() < DECIBEL


@pytest.mark.parametrize("name", REFERENCES)
def test_a_preset_equals_its_library_on_real_machines(name: str, realdata: Path) -> None:
    for path in sorted((realdata / "mimii_minus6dB").rglob("*.flac"))[::29]:
        samples = soundfile.read(path, dtype="int16")[0]
        result = PRESETS[name](torch.from_numpy(samples)[None])[0].numpy()
        assert np.abs(result - REFERENCES[name](waves(samples))).max() < DECIBEL


@pytest.mark.parametrize("how", [{"norm": "slaney", "mel_scale": "slaney", "pad_mode": "constant"}, {"power": 1.0}])
def test_other_conventions_of_torchaudio(how: dict[str, object]) -> None:
    y = waves(factory_noise())
    ours = LogMel(
        scale=str(how.get("mel_scale", "htk")),
        norm=how.get("norm"),  # type: ignore[arg-type]
        pad_mode=str(how.get("pad_mode", "reflect")),
        power=float(how.get("power", 2.0)),  # type: ignore[arg-type]
    )
    mel = transforms.MelSpectrogram(16_000, n_fft=1024, hop_length=512, n_mels=128, **how)
    decibels = transforms.AmplitudeToDB("magnitude" if how.get("power") == 1.0 else "power")
    assert (ours(torch.from_numpy(y)[None])[0] - decibels(mel(torch.from_numpy(y))).T).abs().max() < DECIBEL


def test_a_shorter_window_is_centred_as_in_librosa() -> None:
    y = waves(factory_noise(seconds=2))
    expected = np.abs(librosa.stft(y, n_fft=1024, win_length=800, hop_length=256)).T
    result = Magnitude(win_length=800, hop=256)(torch.from_numpy(y)[None])[0].numpy()
    assert np.abs(result - expected).max() < 1e-4


def test_silence_is_at_the_floor_and_top_db_is_per_clip() -> None:
    silent = torch.zeros(1, 16_000)
    assert PRESETS["baseline"](silent).unique().tolist() == pytest.approx([10 * np.log10(EPSILON)], abs=1e-4)
    assert PRESETS["aegan_ad"](silent).unique().tolist() == [-100.0]
    loud_then_quiet = torch.from_numpy(waves(factory_noise(seconds=2)))
    loud_then_quiet[16_000:] = 0
    both = torch.stack([loud_then_quiet, loud_then_quiet / 10])
    result = PRESETS["aegan_ad"](both)
    assert (result.amax((1, 2)) - result.amin((1, 2))).tolist() == pytest.approx([80.0, 80.0], abs=1e-4)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("seconds", [0.3, 6.0, 10.0, 12.0])
def test_the_number_of_frames_is_as_announced(name: str, seconds: float) -> None:
    result, samples = PRESETS[name], round(16_000 * seconds)
    out = result(torch.from_numpy(factory_noise(seconds=seconds))[None])
    assert out.shape == (1, result.frames(samples), *result.shape)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(
    ("name", "seconds", "frames"),
    [("baseline", 10, 313), ("baseline", 11, 344), ("stgram", 10, 313), ("stgram", 12, 313), ("stgram", 6, 313)]
    + [("twfr", 6, 188), ("twfr", 12, 313), ("cp_jku", 10, 311), ("aegan_ad", 10, 313), ("raw_10s", 4, 160_000)],
)
def test_the_frame_counts_of_the_papers(name: str, seconds: int, frames: int) -> None:
    assert PRESETS[name].frames(16_000 * seconds) == frames


def test_a_short_clip_is_repeated_and_a_long_one_cut() -> None:
    samples = torch.arange(1, 5, dtype=torch.int16)[None]
    repeat, cut = Raw(rate=2, seconds=5, short="repeat"), Raw(rate=2, seconds=1)
    assert (repeat(samples) * 32768).tolist() == [[1, 2, 3, 4, 1, 2, 3, 4, 1, 2]]
    assert (cut(samples) * 32768).tolist() == [[1, 2]]
    assert (Raw(rate=2, seconds=5)(samples) * 32768).tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("name", PRESETS)
def test_a_single_clip_equals_the_clip_in_a_batch(name: str) -> None:
    batch = torch.from_numpy(np.stack([factory_noise(seed, 3.0) for seed in range(9)]))
    together = PRESETS[name](batch)
    alone = torch.cat([PRESETS[name](clip[None]) for clip in batch])
    assert (together - alone).abs().max() < 1e-4


def test_complex_is_the_magnitude_and_a_phase() -> None:
    batch = torch.from_numpy(factory_noise())[None]
    spectrum = torch.view_as_complex(Complex()(batch))
    assert (spectrum.abs() - Magnitude()(batch)).abs().max() < 1e-3


def test_the_hash_changes_with_every_parameter_and_with_nothing_else() -> None:
    assert LogMel().hash == LogMel(n_fft=1024).hash == front_end({"kind": "log_mel"}).hash
    assert LogMel(seconds=10, fmin=0, n_fft=1024.0).hash == LogMel(seconds=10.0, fmin=0.0).hash  # type: ignore[arg-type]
    changed: list[FrontEnd] = [
        LogMel(n_fft=2048),
        LogMel(hop=256),
        LogMel(mels=64),
        LogMel(power=1.0),
        LogMel(scale="htk"),
        LogMel(norm=None),
        LogMel(center=False),
        LogMel(pad_mode="reflect"),
        LogMel(top_db=80.0),
        LogMel(floor=1e-12),
        LogMel(floor_rule="add"),
        LogMel(fmin=50.0),
        LogMel(fmax=7_000.0),
        LogMel(win_length=512),
        LogMel(rate=8_000),
        LogMel(seconds=10.0),
        LogMel(seconds=10.0, short="repeat"),
        Magnitude(),
        Complex(),
        Raw(),
    ]
    assert len({result.hash for result in [LogMel(), *changed]}) == len(changed) + 1


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name: str) -> None:
    again = front_end(json.loads(json.dumps(PRESETS[name].to_dict())))
    assert again == PRESETS[name]
    assert again.hash == PRESETS[name].hash


def test_every_shipped_preset_is_tested() -> None:
    assert set(KINDS) == {"log_mel", "faster_log_mel", "magnitude", "complex", "raw"}
    assert set(PRESETS) - set(REFERENCES) == {"raw", "raw_10s"}
    assert len(PRESETS) == 11


WRONG = [
    ({"kind": "log_mel", "hop": 0}, "hop of LogMel must be at least 1 but got 0"),
    ({"kind": "log_mel", "scale": "mel"}, "scale of LogMel must be 'slaney' or 'htk' but got 'mel'"),
    ({"kind": "log_mel", "fmax": 9_000.0}, "fmax of LogMel must be in"),
    ({"kind": "log_mel", "short": "repeat"}, "unless seconds is given"),
    ({"kind": "log_mel", "n_ftt": 512}, "unknown parameter of log_mel 'n_ftt'; did you mean 'n_fft'"),
    ({"kind": "log_mel", "n_fft": "big"}, "n_fft of LogMel must be int but got 'big'"),
    ({"kind": "log_mel", "mels": True}, "mels of LogMel must be int but got True"),
    ({"kind": "log_mel", "fmin": 9_000}, "fmin of LogMel must be from 0 and below fmax"),
    ({"kind": "log_mel", "seconds": 1e-6}, "seconds of LogMel must be a sample or more"),
    ({"kind": "logmel"}, "unknown kind of front end 'logmel'; did you mean 'log_mel'"),
    ("basline", "unknown front end 'basline'; did you mean 'baseline'"),
]


@pytest.mark.parametrize(("spec", "message"), WRONG)
def test_an_invalid_front_end_names_the_problem(spec: object, message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        front_end(spec)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["cp_jku", "twfr"])
def test_a_clip_too_short_for_one_frame_is_an_error(name: str) -> None:
    with pytest.raises(AsdRayError, match="too short for one frame"):
        PRESETS[name](torch.zeros(2, 400))
    with pytest.raises(AsdRayError, match=r"takes \[clips, samples\]"):
        PRESETS[name](torch.zeros(400))


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.1, 1.2, 2.0])
@pytest.mark.parametrize("samples", [32_000, 31_999])
def test_faster_sound_has_higher_tones_and_fewer_frames(speed: float, samples: int) -> None:
    def tones(hertz: list[float], count: int) -> torch.Tensor:
        at = torch.arange(count, dtype=torch.float64) / 16_000
        return sum(0.1 * torch.sin(2 * torch.pi * each * at) for each in hertz)[None].float()

    low = [1000.0, 2345.0, 3210.0]
    faster = FasterLogMel.of(PRESETS["baseline"], speed)
    given = faster(tones(low, samples))[0]
    wanted = PRESETS["baseline"](tones([each * speed for each in low], faster.resampled(samples)))[0]
    assert given.shape == wanted.shape == (faster.frames(samples), 128)
    loud = wanted[5:-5] > wanted.max() - 40
    assert loud.sum() > 100
    assert (given - wanted)[5:-5][loud].abs().max() < 0.1
    assert front_end(faster.to_dict()) == faster


def test_at_its_own_speed_sound_is_unchanged() -> None:
    noise = torch.from_numpy(factory_noise())[None]
    given, wanted = FasterLogMel.of(PRESETS["baseline"], 1.0)(noise), PRESETS["baseline"](noise)
    assert (given - wanted).abs().max() < DECIBEL


@pytest.mark.parametrize("change", [{"speed": 0.2}, {"speed": 5}, {"seconds": 10}])
def test_impossible_speeds_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(AsdRayError, match="of FasterLogMel must be"):
        FasterLogMel(**change)
