"""Sounds and pictures of clips, which the page shows beside their numbers. They are made elsewhere: see `Media`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from markupsafe import Markup

PAGE_BYTES = 24_000_000  # of all sounds and pictures of a page, as they are in it: browsers open it at once
AUDIO_TYPE, PICTURE_TYPE = "audio/ogg", "image/png"


@dataclass(frozen=True)
class ClipMedia:
    """The sound of a clip and the picture of where its score comes from. Empty bytes: there is none."""

    audio: bytes = field(default=b"", repr=False)  # Ogg Vorbis
    picture: bytes = field(default=b"", repr=False)  # PNG
    sentence: str = ""  # what the picture shows
    note: str = ""  # why there is no picture

    @property
    def audio_url(self) -> Markup:
        return data_url(AUDIO_TYPE, self.audio)

    @property
    def picture_url(self) -> Markup:
        return data_url(PICTURE_TYPE, self.picture)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height, which the header of a PNG has."""
        return int.from_bytes(self.picture[16:20]), int.from_bytes(self.picture[20:24])


@dataclass(frozen=True)
class Media:
    """What the report shows of its clips. `asd_ray._listening` makes it, because that needs the clips and torch."""

    clips: Mapping[tuple[str, str], ClipMedia] = field(default_factory=dict)  # (machine, clip) -> its media
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # machine -> what is not shown, and why

    def of(self, machine: str, clip: str) -> ClipMedia:
        return self.clips.get((machine, clip), ClipMedia())

    def notes_of(self, machine: str) -> tuple[str, ...]:
        return self.notes.get(machine, ())


def page_bytes(content: bytes) -> int:
    """The bytes that this content takes in the page, where it is written in base64."""
    return 4 * -(-len(content) // 3)


def data_url(kind: str, content: bytes) -> Markup:
    """Content of our own making as an address that needs no network."""
    return Markup(f"data:{kind};base64,{base64.b64encode(content).decode()}")
