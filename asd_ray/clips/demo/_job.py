"""One call of `make_demo`: its checked arguments, the files that they stand for, and what the folder already holds."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile as sf

from asd_ray._json import loads
from asd_ray.clips.demo._writing import write_bytes, write_text
from asd_ray.clips.demo.machines import MACHINES
from asd_ray.clips.demo.plan import SIZES, DemoClip, DemoSize, SupplementalClip, planned, planned_supplemental
from asd_ray.clips.demo.sound import RATE
from asd_ray.errors import AsdRayError, listing, unknown
from asd_ray.storage.atomic import final_path

RECIPE = 1  # raised when the same settings begin to give other bytes
MARKER = "demo.json"  # written last: the set is complete
UNFINISHED = ".demo_unfinished.json"  # written first: the set is being made
SECONDS = (1.0, 60.0)  # one second is enough for a stroke or a click of every machine
HEADER_BYTES = 44  # of a PCM wav file


@dataclass(frozen=True)
class DemoJob:
    """The folder and the settings of one demo set; `checked` makes it."""

    folder: Path
    size_name: str
    size: DemoSize
    machines: tuple[str, ...]
    seed: int
    clips: tuple[DemoClip, ...]
    hide_labels: bool = False
    supplemental: tuple[SupplementalClip, ...] = ()  # in no attribute table
    channels: int = 1

    @classmethod
    def checked(
        cls,
        folder: Path,
        size: str,
        machines: Sequence[str] | None,
        seed: int,
        seconds: float | None,
        *,
        hide_labels: bool = False,
        supplemental: bool = False,
        channels: int = 1,
    ) -> DemoJob:
        """The job of these arguments; AsdRayError names the first one that is wrong."""
        if size not in SIZES:
            raise unknown("demo size", size, SIZES)
        for machine in machines or ():
            if machine not in MACHINES:
                raise unknown("demo machine", machine, MACHINES)
        if channels not in (1, 2):
            raise AsdRayError(f"a demo set has 1 or 2 channels but got {channels}")
        if seed < 0:
            raise AsdRayError(f"seed must be 0 or more but got {seed}")
        demo_size = SIZES[size] if seconds is None else replace(SIZES[size], seconds=float(seconds))
        if not (math.isfinite(demo_size.seconds) and SECONDS[0] <= demo_size.seconds <= SECONDS[1]):
            raise AsdRayError(f"seconds must be between {SECONDS[0]:g} and {SECONDS[1]:g} but got {seconds}")
        names = tuple(name for name in MACHINES if machines is None or name in machines)
        if not names:
            raise AsdRayError(f"machines is empty; leave it out for all of them or choose from {', '.join(MACHINES)}")
        clips = tuple(clip for name in names for clip in planned(demo_size, name))
        extra = tuple(clip for name in names if supplemental for clip in planned_supplemental(demo_size, name))
        return cls(folder, size, demo_size, names, seed, clips, hide_labels, extra, channels)

    @property
    def files(self) -> tuple[DemoClip | SupplementalClip, ...]:
        """All clips of the set."""
        return (*self.clips, *self.supplemental)

    def grown(self) -> DemoJob:
        """This job plus the machines that the folder already has, if their settings are the same.

        The folder is then marked as unfinished, with the settings of all these machines.
        """
        for marker in (self.folder / MARKER, self.folder / UNFINISHED):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AsdRayError):
                present = loads(marker.read_bytes(), str(marker))["machines"]
                if not set(present) <= set(MACHINES):
                    continue
                both = self._with_machines([*present, *self.machines])
                before = self._with_machines(present)
                if marker.read_text(encoding="utf-8") == before.settings() and set(present) != set(both.machines):
                    write_text(self.folder / UNFINISHED, both.settings())
                    (self.folder / MARKER).unlink(missing_ok=True)
                    return both
                if set(present) == set(both.machines):
                    return both
        return self

    def _with_machines(self, machines: Sequence[str]) -> DemoJob:
        return DemoJob.checked(
            self.folder,
            self.size_name,
            machines,
            self.seed,
            self.size.seconds,
            hide_labels=self.hide_labels,
            supplemental=bool(self.supplemental),
            channels=self.channels,
        )

    def settings(self) -> str:
        """The text of the marker files: all settings that the bytes of the set depend on."""
        settings = {
            "what": "asd_ray synthetic demo set",
            "recipe": RECIPE,
            "size": self.size_name,
            "seconds": self.size.seconds,
            "seed": self.seed,
            "machines": self.machines,
            "clips": len(self.clips),
            **({"hide_labels": True} if self.hide_labels else {}),
            **({"supplemental": len(self.supplemental)} if self.supplemental else {}),
            **({"channels": self.channels} if self.channels > 1 else {}),
        }
        return json.dumps(settings, indent=2) + "\n"

    def is_complete(self) -> bool:
        """Whether the folder holds this set already; AsdRayError if it holds any file that is not part of it."""
        if not self.folder.is_dir() or not any(self.folder.iterdir()):
            return False
        own_files = {self.folder / MARKER, self.folder / UNFINISHED}
        for marker in (self.folder / MARKER, self.folder / UNFINISHED):
            if not marker.is_file():
                continue
            if marker.read_text(encoding="utf-8", errors="replace") != self.settings():
                raise AsdRayError(
                    f"{self.folder} holds a demo set with other settings (see {marker}); choose another folder, "
                    "or use those settings"
                )
            if marker.name == MARKER:
                return True
            own_files |= {self.path(clip) for clip in self.files} | {self.table(clip) for clip in self.clips}
        self._refuse_foreign(own_files)
        return False

    def _refuse_foreign(self, own_files: set[Path]) -> None:
        present = (path for path in self.folder.rglob("*") if not path.is_dir())
        foreign = sorted(path for path in present if path not in own_files and final_path(path) not in own_files)
        if foreign:
            raise AsdRayError(
                f"{self.folder} holds files that do not belong to this demo set, and no file is ever overwritten; "
                f"choose an empty or new folder:\n{listing(foreign, most=5)}"
            )

    def path(self, clip: DemoClip | SupplementalClip) -> Path:
        name = clip.hidden_name if self.hide_labels else clip.name
        return self.folder / "dev_data" / clip.machine / clip.split / name

    def table(self, clip: DemoClip) -> Path:
        """The attribute table that lists `clip`: one per machine id."""
        return self.folder / "dev_data" / clip.machine / f"attributes_{clip.unit:02d}.csv"

    def missing_bytes(self) -> int:
        """The size of all clips that are not yet on the disk."""
        clip_bytes = HEADER_BYTES + 2 * self.channels * round(self.size.seconds * RATE)
        return clip_bytes * sum(not self.path(clip).exists() for clip in self.files)

    def make_clip(self, clip: DemoClip | SupplementalClip) -> None:
        path = self.path(clip)
        if path.exists():  # complete, because a file gets its name only when all of it is written
            return
        samples = (clip.samples if self.channels == 1 else clip.on_two_channels)(self.seed, self.size.seconds)
        encoded = io.BytesIO()  # soundfile hides that a disk is full; a plain write raises
        sf.write(encoded, samples, RATE, subtype="PCM_16", format="WAV")
        write_bytes(path, encoded.getbuffer())
