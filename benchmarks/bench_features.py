"""Log-mel features against torchaudio in the same batches, and against librosa one file at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch

from asd_ray._torchaudio import transforms
from asd_ray.clips.bank import open_bank
from asd_ray.features import PRESETS, extract
from benchmarks._timing import Row, compare

CLIPS, BATCH, RATE = 128, 64, 16_000
LIBROSA = 32


def run() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    waves = torch.from_numpy((rng.standard_normal((CLIPS, 10 * RATE)) * 1000).astype(np.int16))
    batches = [waves[i : i + BATCH] for i in range(0, CLIPS, BATCH)]
    front_end = PRESETS["stgram"]
    mel = transforms.MelSpectrogram(RATE, n_fft=1024, hop_length=512, n_mels=128)
    decibels = transforms.AmplitudeToDB("power")

    def ours() -> None:
        for batch in batches:
            front_end(batch)

    def theirs(decibel: bool) -> None:
        with torch.no_grad():
            for batch in batches:
                made = mel(batch.float() / 32768)
                if decibel:
                    decibels(made)

    what, threads = f"log-mel, batches of {BATCH} clips of 10 s", torch.get_num_threads()
    for decibel, name in (
        (False, "torchaudio MelSpectrogram alone"),
        (True, "torchaudio MelSpectrogram and AmplitudeToDB"),
    ):
        ratio, mine, reference = compare(ours, lambda decibel=decibel: theirs(decibel))  # type: ignore[misc]
        yield (
            what,
            name,
            ratio,
            f"{CLIPS / mine:,.0f} against {CLIPS / reference:,.0f} clips a second, {threads} threads",
        )

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "normal"
        folder.mkdir()
        for i, wave in enumerate(waves):
            soundfile.write(folder / f"{i}.wav", wave.numpy(), RATE)
        clips = open_bank(temporary, cache=Path(temporary) / "cache").select()

        def by_file() -> None:
            for i in range(LIBROSA):
                y, _ = librosa.load(folder / f"{i}.wav", sr=RATE)
                made = librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=1024, hop_length=512, n_mels=128, power=2.0)
                librosa.power_to_db(made, top_db=None)

        ratio, mine, reference = compare(lambda: extract(PRESETS["baseline"], clips), by_file, rounds=9)
        detail = f"{CLIPS / mine:,.0f} against {LIBROSA / reference:,.0f} clips a second"
        yield "log-mel from an open bank", "librosa file by file", ratio * CLIPS / LIBROSA, detail
