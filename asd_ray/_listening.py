"""The sounds of the clips that a report shows, and maps of where their scores come from."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from asd_ray._bundling import members_without_state, write_bundle
from asd_ray._progress import progress_bar
from asd_ray._terminal import typed
from asd_ray.clips.audio import Samples
from asd_ray.clips.bank import Bank
from asd_ray.clips.table import TEST
from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.explain import Explanation, Grid, explain
from asd_ray.deploy.explain.picture import MAP_COLOURS, SPECTROGRAM_COLOURS
from asd_ray.ensembling import Ensemble
from asd_ray.ensembling.combine import TRANSDUCTIVE
from asd_ray.ensembling.mistakes import ClipDecision, Mistakes
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.reporting.media import PAGE_BYTES, ClipMedia, Media, page_bytes
from asd_ray.tuning.data import DataSource

if TYPE_CHECKING:  # imported when a picture is made
    from PIL import Image

BANDS, STEPS = 12, 10  # of a map: 108 altered clips are scored, half as many as asd-ray explain takes for 4 s
QUALITY = 0.3  # 0 is the best: 7 kB per second at 16 kHz
CURE = "name the dataset of the search, or leave --data out"

Facts = Mapping[str, Any]


@dataclass
class _Share:
    """The bytes of the page that one machine may take, and what did not fit."""

    left: int
    players: int = 0
    maps: int = 0

    def takes(self, content: bytes) -> bool:
        """Whether the content fits; if so, its bytes are taken."""
        size = page_bytes(content)
        if size > self.left:
            return False
        self.left -= size
        return True

    def left_out(self, most: int) -> list[str]:
        """A note on what did not fit into the `most` bytes of the page."""
        counts = ((self.players, "player"), (self.maps, "map"))
        parts = [f"{many} {noun}{'' if many == 1 else 's'}" for many, noun in counts if many]
        if not parts:
            return []
        return [f"left out: {' and '.join(parts)}, because a page has {most / 1e6:g} MB of sounds and maps at most"]


@dataclass(frozen=True)
class Listener:
    """Makes the `Media` of a report: call it with the report's facts. `data` is the dataset of the search."""

    ledger: Ledger
    data: DataSource
    audio: bool = True  # whether the page has players
    device: str = "cpu"
    families: Sequence[type] = ()  # classes that cannot be imported by name
    page_bytes: int = PAGE_BYTES

    def __call__(self, facts: Facts) -> Media:
        """AsdRayError if the dataset's clips are not those of the run."""
        shown = {
            machine: (own["final"], own["mistakes"])
            for machine, own in facts["machines"].items()
            if own["mistakes"].clips
        }
        if not shown:
            return Media()
        bank = self._bank({machine: final for machine, (final, _) in shown.items()})
        left, to_come = self.page_bytes, len(set(shown) & set(bank.fingerprints))
        clips: dict[tuple[str, str], ClipMedia] = {}
        notes: dict[str, tuple[str, ...]] = {}
        for machine, (final, mistakes) in shown.items():
            if machine not in bank.fingerprints:
                notes[machine] = (f"no sound and no maps: {self.data.table.place} has no clips of this machine",)
                continue
            share = _Share(left // to_come)  # what one machine does not need is left to the others
            left, to_come = left - share.left, to_come - 1
            media, why_no_maps = self._of_machine(final, mistakes, bank, share)
            left += share.left
            clips |= {(machine, clip): each for clip, each in media.items()}
            notes[machine] = (*why_no_maps, *share.left_out(self.page_bytes))
        return Media(clips, {machine: own for machine, own in notes.items() if own})

    def _bank(self, finals: Mapping[str, Ensemble]) -> Bank:
        """The decoded clips of the machines that the dataset has."""
        data = self.data
        if not (machines := sorted(set(finals) & set(data.table.machines))):
            raise AsdRayError(
                f"{data.table.place} has clips of {', '.join(data.table.machines)}, but the report is of "
                f"{', '.join(sorted(finals))}; {CURE}"
            )
        with progress_bar("decoding") as shown:
            bank = data.open(data.table.of_machines(machines), shown)
        for machine in machines:
            own, other = finals[machine].dataset.fingerprint, bank.fingerprints[machine]
            if own and own != other:
                raise AsdRayError(
                    f"{data.table.place}: its clips of {machine} ({other[:8]}) are not those of the run ({own[:8]}); "
                    f"{bank.rate_hint(machine)}read it with the options of the search (--layout, --labels, --rate, "
                    f"--channel, --skip-broken …), {CURE}"
                )
        return bank

    def _of_machine(
        self, final: Ensemble, mistakes: Mistakes, bank: Bank, share: _Share
    ) -> tuple[dict[str, ClipMedia], tuple[str, ...]]:
        rows = _rows(bank, final.machine, mistakes.clips)
        bundle, why_not = self._bundle(final)
        media = {}
        with progress_bar(f"{final.machine}: explaining", quiet=bundle is None) as progress:
            for done, (clip, row) in enumerate(zip(mistakes.clips, rows, strict=True)):
                progress(done, len(rows))
                media[clip.clip] = self._of_clip(clip, bank.every_channel(row), bank.decoding.rate, bundle, share)
        return media, why_not

    def _of_clip(self, clip: ClipDecision, wave: Samples, rate: int, bundle: Bundle | None, share: _Share) -> ClipMedia:
        sound, picture, sentence, note = b"", b"", "", ""
        near: Samples = wave if wave.ndim == 1 else wave[0]
        if self.audio:
            sound = ogg(near, rate)
            if not share.takes(sound):
                share.players += 1
                sound = b""
        if bundle is not None and share.maps:
            share.maps += 1  # the pictures have about one size, so no further map is computed
        elif bundle is not None:
            try:
                explanation = explain(bundle, wave, clip.id, grid=grid_of(len(near) / rate))
            except AsdRayError as error:
                note = f"no map: {error}"
            else:
                picture, sentence = picture_of(explanation), explanation.sentence
                if not share.takes(picture):
                    share.maps += 1
                    picture = b""
        return ClipMedia(sound, picture, sentence, note)

    def _bundle(self, final: Ensemble) -> tuple[Bundle | None, tuple[str, ...]]:
        """The bundle of a machine's ensemble; None with the reason if it cannot score a clip alone."""
        if final.combine in TRANSDUCTIVE:
            return None, (f"no maps: {final.name} combines ranks among the test clips, so no clip has a score alone",)
        try:
            if missing := members_without_state(self.ledger, final):
                return None, (self._without_states(final.machine, missing),)
            with TemporaryDirectory() as folder:
                written = write_bundle(self.ledger, final, Path(folder) / "bundle")
                return Bundle.load(written.folder, device=self.device, families=self.families), ()
        except AsdRayError as error:
            return None, (f"no maps: {error}",)

    def _without_states(self, machine: str, missing: Sequence[str]) -> str:
        command = typed(
            "asd-ray", "bundle", machine, "--run", self.ledger.layout.root, "--data", self.data.table.known_as
        )
        return (
            f"no maps: the search kept no state of {', '.join(missing)}. Train again with: {command}; asd-ray explain "
            "then draws the map of any clip. A search with --keep-states all keeps every state"
        )


def _rows(bank: Bank, machine: str, clips: Sequence[ClipDecision]) -> list[int]:
    """The row of each clip in the bank."""
    here = ((bank.frame["machine"] == machine) & (bank.frame["split"] == TEST)).to_numpy()
    place = dict(zip(bank.frame["clip"][here], np.flatnonzero(here).tolist(), strict=True))
    if missing := [clip.clip for clip in clips if clip.clip not in place]:
        raise AsdRayError(f"{bank.table.place}: {machine} has no test clip {missing[0]!r}; {CURE}")
    return [place[clip.clip] for clip in clips]


def grid_of(seconds: float) -> Grid:
    """A grid of as many patches for a long clip as for a short one."""
    return Grid(bands=BANDS, span=min(60.0, max(0.05, 2 * seconds / STEPS)))


def ogg(wave: Samples, rate: int) -> bytes:
    """The sound as Ogg Vorbis: a fourth of FLAC's size, and browsers play it at any rate."""
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", samplerate=rate, channels=1, format="OGG", subtype="VORBIS", compression_level=QUALITY
    ) as sound:
        for start in range(0, len(wave), rate):  # a second each: libsndfile crashes on long blocks of Vorbis
            sound.write(wave[start : start + rate])
    return file.getvalue()


def picture_of(explanation: Explanation) -> bytes:
    """The explanation's picture as a PNG of 256 colours, which takes some 80 kB and not 200."""
    from PIL import Image

    with (
        TemporaryDirectory() as folder,
        Image.open(explanation.save_png(Path(folder) / "map.png", small=True)) as drawn,
    ):
        small = drawn.convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return file.getvalue()


def _palette() -> Image.Image:
    """An image that holds the colours of both colour maps, and the greys of text."""
    from matplotlib import colormaps
    from PIL import Image

    maps = [colormaps[name](np.linspace(0, 1, 112), bytes=True)[:, :3] for name in (SPECTROGRAM_COLOURS, MAP_COLOURS)]
    greys = np.repeat(np.linspace(0, 255, 32).astype(np.uint8)[:, None], 3, axis=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([*maps, greys]).tobytes())
    return palette
