"""One search a study: two commands that work into one run at once take different studies."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from pathlib import Path

from asd_ray._log import LOGGER, line
from asd_ray.storage.heartbeat import ALIVE, Beat, BeatingFile, new_driver, read_beats
from asd_ray.storage.locks import open_lock, try_lock
from asd_ray.storage.open_files import open_files
from asd_ray.storage.places import make_folder, storage_error
from asd_ray.storage.run_layout import CURE, RunLayout

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
ASKS, HAS = "asks", "has"
WAIT = 0.5  # seconds between two looks at a rival that asks for the same study
FORGOTTEN = 10 * ALIVE  # of silence, after which the claims of a dead search are cleared away


class StudyLocks:
    """On a disk the kernel's locks, freed when their holder dies, on NFSv4 and EFS across computers too.

    A run on S3, or on a disk that has no locks, goes by claims instead. On a shared disk all computers must be mounted
    alike: one that has locks and one that has none do not see each other.
    """

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout
        self._held: list[int] = []
        self._claims = Claims(layout) if layout.is_s3 else None

    def take(self, study: str) -> str:
        """Hold the lock of a study until this process ends; "" if it was free, else who holds it."""
        if self._claims is not None:
            return self._claims.take(study)
        make_folder(Path(self._layout.locks), "the locks of the run", CURE)
        path = self._layout.lock_file(study)
        try:
            descriptor = open_lock(path)
        except OSError as error:
            raise storage_error(error, path, "the lock", CURE) from error
        try:
            is_ours = try_lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in NO_LOCKS:
                raise storage_error(error, path, "the lock", CURE) from error
            self._claims = Claims(self._layout)
            return self._claims.take(study)
        if not is_ours:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            return holder or "another search"
        self._held.append(descriptor)
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        return ""

    def release(self) -> None:
        for descriptor in self._held:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._held.clear()
        if self._claims is not None:
            self._claims.release()


class Claims:
    """Claims on studies, in one beating file of each search: for stores that list what was just written, as S3 does.

    A search first writes that it asks for a study and then lists the others. Of two that ask at once, whoever lists
    later sees the other; so it is safe to leave the study to whoever has it, to give way to an asker whose name comes
    first, and to wait until the other askers gave way, took it or died. Nobody's clock is asked: a beat's age is the
    distance of two of the store's own stamps. A search that sleeps for longer than a minute counts as dead; if it
    wakes, both run the same trials, of which the ledger keeps one each. NFS without locks may list a minute late,
    with the same effect.
    """

    def __init__(self, layout: RunLayout) -> None:
        self._layout, self._files = layout, open_files(layout)
        self._driver = new_driver()
        self._claims: dict[str, str] = {}
        self._seen: dict[str, float] = {}  # driver -> the stamp of its beat when it was met first
        self._file = BeatingFile(self._files, layout.claims_file(self._driver), lambda: {"claims": self._claims})

    def take(self, study: str) -> str:
        """ "" if the study is ours from now on, else who has it or asked for it too and comes first.

        A holder of another computer is left alone only once it beats again: one that was killed less than a minute
        ago would look the same, and the command that goes on in its place should not be turned away.
        """
        self._claim(study, ASKS)
        said = False
        while rivals := self._rivals(study):
            first = min(rivals, key=lambda beat: (_claim_of(beat, study) != HAS, beat.driver))
            gives_way = _claim_of(first, study) == HAS or first.driver < self._driver
            if gives_way and self._lives(first):
                self._claim(study, "")
                return str(first)
            if gives_way and not said:
                why = f"{first} has it, heard from {first.silent:.0f} s ago; waiting until it is heard again"
                LOGGER.warning("%s", line("waiting", study=study, text=why))
                said = True
            time.sleep(WAIT)
            self._file.put()
        self._claim(study, HAS)
        self._file.start()  # until now each claim was a beat
        return ""

    def release(self) -> None:
        self._claims = {}
        self._file.close()

    def _claim(self, study: str, claim: str) -> None:
        others = {name: has for name, has in self._claims.items() if name != study}
        self._claims = {**others, study: claim} if claim else others
        self._file.put()

    def _rivals(self, study: str) -> list[Beat]:
        """Searches that seem alive and ask for the study or have it; what is left of dead ones is cleared away."""
        own = self._layout.claims_file(self._driver)
        listed = self._files.list(self._layout.locks)
        if own not in {stored.path for stored in listed}:  # cleared away by a rival that took us for dead
            self._file.put()
            listed = self._files.list(self._layout.locks)
        now = next((stored.stamp for stored in listed if stored.path == own), 0.0)  # written just now
        found = []
        for beat in read_beats(self._files, [stored for stored in listed if stored.path != own], now):
            if beat.alive and _claim_of(beat, study):
                found.append(beat)
            elif beat.silent > FORGOTTEN:
                self._files.remove(beat.path)
        return found

    def _lives(self, beat: Beat) -> bool:
        return beat.here or beat.stamp != self._seen.setdefault(beat.driver, beat.stamp)


def _claim_of(beat: Beat, study: str) -> str:
    return str(beat.told.get("claims", {}).get(study, ""))
