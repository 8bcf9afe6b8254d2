"""Score any number of files in constant memory: decoding runs ahead in a thread, and files are scored in batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from asd_ray.clips.audio import UnreadableClip
from asd_ray.deploy.bundle import BATCH_SAMPLES, Bundle
from asd_ray.deploy.result import ClipScore
from asd_ray.deploy.sound import Sound
from asd_ray.errors import AsdRayError

ENDINGS = (".wav", ".flac")
FILES = 16  # that are decoded and scored at once
ID_IN_NAME = re.compile(r"(?:^|[_/-])(?:section|id)_([0-9A-Za-z]+)(?=[_.]|$)")  # of DCASE and MIMII


@dataclass(frozen=True)
class SoundFile:
    """A file to score, and what is known of it."""

    path: str
    id: str = ""  # "" for any id
    domain: str = ""


@dataclass(frozen=True)
class Unscored:
    """A file that could not be scored, and why."""

    name: str
    reason: str

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "error": self.reason}


def score_files(bundle: Bundle, files: Iterable[SoundFile]) -> Iterator[ClipScore | Unscored]:
    """The score of each file, in order. A file that cannot be read does not stop the others.

    In memory are two batches: the one that is scored and the next. A batch has at most FILES files and ends with the
    file that makes it longer than BATCH_SAMPLES, so a very long recording is in memory whole.
    """
    source = iter(files)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(_decoded, bundle, source)
        while batch := following.result():
            following = pool.submit(_decoded, bundle, source)
            yield from _scored(bundle, batch)


def _decoded(bundle: Bundle, source: Iterator[SoundFile]) -> list[tuple[SoundFile, Sound | Unscored]]:
    """The next batch; empty after the last file."""
    batch: list[tuple[SoundFile, Sound | Unscored]] = []
    samples = 0
    for file in islice(source, FILES):
        sound = _read(bundle, file)
        batch.append((file, sound))
        samples += sound.samples.size if isinstance(sound, Sound) else 0
        if samples >= BATCH_SAMPLES:
            break
    return batch


def _read(bundle: Bundle, file: SoundFile) -> Sound | Unscored:
    try:
        return Sound.read(file.path, bundle.rate, bundle.channel)
    except (UnreadableClip, OSError, AsdRayError) as error:
        return Unscored(file.path, str(error))


def _scored(bundle: Bundle, batch: Sequence[tuple[SoundFile, Sound | Unscored]]) -> Iterator[ClipScore | Unscored]:
    readable = [(file, sound) for file, sound in batch if isinstance(sound, Sound)]
    results = iter(score_together(bundle, readable))
    for _, sound in batch:
        yield next(results) if isinstance(sound, Sound) else sound


def score_together(bundle: Bundle, pairs: Sequence[tuple[SoundFile, Sound]]) -> Sequence[ClipScore | Unscored]:
    """All of them at once; one by one where that fails, so that one odd file is named alone."""
    ids, domains = [file.id or bundle.only_id for file, _ in pairs], [file.domain for file, _ in pairs]
    try:
        return bundle.score_sounds([sound for _, sound in pairs], ids, domains)
    except AsdRayError as error:
        if len(pairs) == 1:
            return [Unscored(pairs[0][0].path, str(error))]
        return [result for pair in pairs for result in score_together(bundle, [pair])]


def files_of(paths: Sequence[str | Path], ids: Sequence[str] = ()) -> Iterator[SoundFile]:
    """The audio files of `paths`: files as they are, of folders all wav and flac files below them, in order of name.

    An id is taken from a file's name as in DCASE and MIMII (section_00, id_02), if it is one of `ids`. AsdRayError for
    a path that does not exist, and for a folder without audio.
    """
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
            if not inside:
                raise AsdRayError(f"{path}: no wav or flac file in this folder; name another")
            yield from (_sound_file(file, ids) for file in inside)
        elif path.exists():
            yield _sound_file(path, ids)
        else:
            raise AsdRayError(f"{path}: no such file; name a recording, or a folder of recordings")


def _sound_file(path: Path, ids: Sequence[str]) -> SoundFile:
    match = ID_IN_NAME.search(path.as_posix()[-300:])
    return SoundFile(str(path), match[1] if match and match[1] in ids else "")


def files_of_layout(folder: str | Path, layout: str, machine: str) -> list[SoundFile]:
    """The clips of one machine of a dataset, with ids and domains as its layout names them."""
    from asd_ray.clips.scan import scan

    table = scan(folder, layout=layout, machines=[machine])
    rows = zip(table.frame["path"], table.frame["id"], table.frame["domain"], strict=True)
    return [SoundFile(str(table.root / path), id, domain) for path, id, domain in rows]


def id_notes(bundle: Bundle, files: Sequence[SoundFile]) -> list[str]:
    """Notes for people on the files that are not compared with normal clips of their own id alone."""
    notes = []
    without = sum(not file.id for file in files)
    if without and len(bundle.ids) > 1:
        which = "every file is" if without == len(files) else f"{without} of {len(files)} files are"
        notes.append(f"{which} compared with all ids of {bundle.machine} ({', '.join(bundle.ids)}); name one: --id ID")
    if new := sorted({file.id for file in files} - {"", *bundle.ids}):
        names = ", ".join(new)
        notes.append(f"{bundle.machine} has no id {names} in training; such files are compared with all ids")
    per_domain = bundle.ensemble.recipe.standardise.per == "id_domain"
    if per_domain and any(not file.domain for file in files):
        notes.append("files without a domain are compared with all clips of the machine; give --layout for domains")
    return notes


def counted(files: Sequence[SoundFile], done: Callable[[int, int], None]) -> Iterator[SoundFile]:
    """The files, reporting how many were handed out."""
    for number, file in enumerate(files):
        done(number, len(files))
        yield file
    done(len(files), len(files))
