"""Locks of studies: two searches in one run at once take different studies."""

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
ASKS, HAS = "asks", "has"  # as claims are stored
WAIT = 0.5  # seconds between two readings while another search asks for the same study
FORGOTTEN = 10 * ALIVE  # seconds without a beat after which the claims of a dead search are removed


class StudyLocks:
    """The studies that this search has locked.

    On a disk these are the kernel's locks, which are freed when their holder dies; on NFSv4 and EFS they work across
    computers. A run on S3, or on a disk without locks, uses claims instead. All computers must mount a shared disk in
    the same way, because a computer with locks and one without do not see each other.
    """

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout
        self._descriptors: list[int] = []
        self._claims = Claims(layout) if layout.is_s3 else None

    def take(self, study: str) -> str:
        """Lock a study until `release`, or until this process ends. Returns "", or who has it if it is locked."""
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
        self._descriptors.append(descriptor)
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        return ""

    def release(self) -> None:
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._descriptors.clear()
        if self._claims is not None:
            self._claims.release()


class Claims:
    """Claims on studies, in one heartbeat file per search, for stores that list a file right after it is written.

    A search first writes that it asks for a study, and then lists the files of the others. If two ask at once, the one
    that lists later sees the other. So three rules are safe: leave the study to a search that has it; give way to one
    that asks and whose name comes first; wait until the others gave way, took it or died.

    No computer's clock is used: the age of a beat is the difference of two times of the store. A search that sleeps
    for more than a minute counts as dead. If it wakes, two searches run the same trials, and the ledger keeps one of
    each. NFS without locks may list a file a minute late, with the same effect.
    """

    def __init__(self, layout: RunLayout) -> None:
        self._layout, self._files = layout, open_files(layout)
        self._driver = new_driver()
        self._claims: dict[str, str] = {}
        self._seen: dict[str, float] = {}  # driver -> the time of its first beat that was seen
        self._file = BeatingFile(self._files, layout.claims_file(self._driver), lambda: {"claims": self._claims})

    def take(self, study: str) -> str:
        """Claim a study. Returns "" if it is ours now, else which search has it or comes first.

        A search on another computer counts only after its next beat: one that was killed less than a minute ago looks
        the same, and the command that resumes it must not be refused.
        """
        self._claim(study, ASKS)
        is_logged = False
        while rivals := self._rivals(study):
            first = min(rivals, key=lambda beat: (_claim_of(beat, study) != HAS, beat.driver))
            gives_way = _claim_of(first, study) == HAS or first.driver < self._driver
            if gives_way and self._lives(first):
                self._claim(study, "")
                return str(first)
            if gives_way and not is_logged:
                why = f"{first} has it; its last beat is {first.silent:.0f} s old; waiting for the next one"
                LOGGER.warning("%s", line("waiting", study=study, text=why))
                is_logged = True
            time.sleep(WAIT)
            self._file.put()
        self._claim(study, HAS)
        self._file.start()  # until now each claim was a beat, too
        return ""

    def release(self) -> None:
        self._claims = {}
        self._file.close()

    def _claim(self, study: str, claim: str) -> None:
        others = {name: state for name, state in self._claims.items() if name != study}
        self._claims = {**others, study: claim} if claim else others
        self._file.put()

    def _rivals(self, study: str) -> list[Beat]:
        """Living searches that ask for the study or have it. Old files of dead searches are removed."""
        own = self._layout.claims_file(self._driver)
        listed = self._files.list(self._layout.locks)
        if own not in {stored.path for stored in listed}:  # removed by a search that took us for dead
            self._file.put()
            listed = self._files.list(self._layout.locks)
        now = next((stored.stamp for stored in listed if stored.path == own), 0.0)  # written just now
        rivals = []
        for beat in read_beats(self._files, [stored for stored in listed if stored.path != own], now):
            if beat.alive and _claim_of(beat, study):
                rivals.append(beat)
            elif beat.silent > FORGOTTEN:
                self._files.remove(beat.path)
        return rivals

    def _lives(self, beat: Beat) -> bool:
        return beat.here or beat.stamp != self._seen.setdefault(beat.driver, beat.stamp)


def _claim_of(beat: Beat, study: str) -> str:
    return str(beat.content.get("claims", {}).get(study, ""))
