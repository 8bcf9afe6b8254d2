"""The one property of every bad input: an exit status, one message, no traceback, and nothing stored is harmed."""

from __future__ import annotations

import hashlib
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from asd_ray.__main__ import main

STATUSES = (0, 1, 2)


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class Verbs:
    """Runs commands in this process: ``verbs("data", "check", folder)``. An exception that escapes fails the test."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *argv: object) -> Answer:
        self._capture.readouterr()
        try:
            status = main([str(each) for each in argv])
        except SystemExit as left:  # argparse refuses an option so
            status = left.code if isinstance(left.code, int) else 1
        answer = Answer(status, *self._capture.readouterr())
        assert answer.status in STATUSES, answer
        assert "Traceback (most recent call last)" not in answer.text, answer.text
        return answer

    def refused(self, *argv: object, words: tuple[str, ...] = (), status: int = 2, lines: int = 12) -> Answer:
        """The command ends with `status` and one message of at most `lines` lines on stderr that holds `words`."""
        answer = self(*argv)
        assert answer.status == status, answer
        assert 0 < len(answer.err.strip().splitlines()) <= lines, answer.err
        missing = [word for word in words if word not in answer.err]
        assert not missing, f"{missing} not in: {answer.err}"
        return answer


@contextmanager
def unharmed(folder: Path) -> Iterator[None]:
    """What `folder` holds at the start is there at the end, byte for byte. New files are allowed."""
    before = digests(folder)
    yield
    after = digests(folder)
    lost = sorted(path for path, digest in before.items() if after.get(path) != digest)
    assert not lost, f"changed or gone: {lost}"


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def bounded(seconds: float = 30.0, gib: float = 2.0) -> Iterator[None]:
    """At most so much processor time and so much more memory than now; more is an error here, not a hung test.

    Processor time, because the machine may be busy, and because pytest-timeout has the other timer.
    """
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(gib * 2**30), before[1]))

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it took more than {seconds:g} s of processor time")

    signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


class Unlucky:
    """Takes the place of a function, and raises one error at every call."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, *what: Any, **how: Any) -> Any:
        raise self.error
