"""One log line per event, as `key=value` pairs that grep and log systems can search: on stderr and in the run's log."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asd_ray._log import LOGGER, line
from asd_ray.storage.run_layout import RunLayout
from asd_ray.tuning.events import EpochsDone, ProgressEvent, RungReached
from asd_ray.tuning.spec import group_name
from asd_ray.tuning.watch._base import SearchView, Watcher

if TYPE_CHECKING:
    from asd_ray._console import Console
    from asd_ray.ledger import TrialRecord
    from asd_ray.tuning.running import RunningTrial

LISTED = "is_listed"  # marks the line of a failed trial, which the list at the end of the search repeats
LONGEST = 500  # characters of an error


class LogLines(Watcher):
    """Writes every event to the logger `asd_ray.search`; `log_to` decides where its lines go."""

    def __init__(self) -> None:
        self._begun = False
        self._ended: Counter[str] = Counter()

    def began(self, run: RunningTrial) -> None:
        LOGGER.info(line("trial_began", **_whose(run), epochs=run.spec.epochs, paper=run.spec.paper or None))

    def progressed(self, run: RunningTrial, event: ProgressEvent) -> None:
        at = {"epoch": run.epoch, "seconds": round(event.seconds, 2), "node": event.node}
        if isinstance(event, RungReached):
            LOGGER.info(line("rung_reached", **_whose(run), **at, value=round(event.value, 4)))
        elif LOGGER.isEnabledFor(logging.DEBUG):
            losses = event.losses[event.epoch] if isinstance(event, EpochsDone) else {}
            named = {f"loss_{name}": value for name, value in losses.items()}
            LOGGER.debug(line("sign_of_life", **_whose(run), **at, **named))

    def retried(self, run: RunningTrial, why: str) -> None:
        LOGGER.warning(line("trial_again", **_whose(run), why=why, node=run.node))

    def ended(self, run: RunningTrial, record: TrialRecord) -> None:
        self._ended[record.status] += 1
        text = line(
            f"trial_{record.status}",
            **_whose(run),
            objective=None if record.objective is None else round(record.objective, 4),
            variant=record.variant,
            epochs=record.epochs,
            seconds=record.seconds,
            node=record.node or run.node,
            error=record.error[:LONGEST],
        )
        is_failed = record.status == "failed"
        LOGGER.log(logging.WARNING if is_failed else logging.INFO, text, extra={LISTED: is_failed})

    def turn(self, search: SearchView) -> None:
        if self._begun:
            return
        self._begun = True
        studies = search.studies
        counts = {"stored": sum(s.count() for s in studies), "wanted": sum(s.wanted for s in studies)}
        names = ",".join(study.name for study in studies)
        LOGGER.info(line("search_began", studies=names, **counts, run=search.ledger.layout.root, pid=os.getpid()))

    def close(self, search: SearchView) -> None:
        text = line(
            "search_ended",
            why=search.stopping or "all trials are done",
            **{status: self._ended[status] for status in ("complete", "pruned", "failed")},
            missing=sum(study.missing for study in search.studies),
            seconds=round(time.monotonic() - search.started, 1),
            error=search.error[:LONGEST],
        )
        LOGGER.log(logging.ERROR if search.error else logging.INFO, text)


def _whose(run: RunningTrial) -> dict[str, Any]:
    spec = run.spec
    return {"trial": spec.name, "hash": spec.hash, "machine": group_name(spec.machines), "family": spec.family}


@contextmanager
def log_to(layout: RunLayout, level: str, console: Console) -> Iterator[None]:
    """While the block lasts, send lines from `level` on to stderr, and from INFO on to the log of a run on a disk.

    The search lists failed trials at its end, so stderr gets their lines only at level INFO or below. A live table on
    `console` is not broken by log lines. Several searches may write to one log: each line is one write at the end of
    the file. On NFS two computers that write in the same instant may still mix their lines.
    """
    screen = _Screen(console)
    screen.setLevel(level.upper())
    if screen.level > logging.INFO:
        screen.addFilter(lambda record: not getattr(record, LISTED, False))
    handlers: list[logging.Handler] = [screen]
    if not layout.is_s3:
        handlers.append(_Appended(layout.log_file, screen, min(logging.INFO, screen.level)))
    before, LOGGER.propagate = (LOGGER.level, LOGGER.propagate), False
    LOGGER.setLevel(min(handler.level for handler in handlers))
    for handler in handlers:
        handler.setFormatter(_Formatter())
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            LOGGER.removeHandler(handler)
            handler.close()
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return f"{at} {record.levelname} {record.getMessage()}"


class _Screen(logging.Handler):
    """Standard error. Where it is the console's terminal, lines go through the console, because of the live table."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console, self._stream = console, sys.stderr
        self._is_shared = console.is_terminal and sys.stderr.isatty()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if self._is_shared:
            self._console.out(text)
            return
        with contextlib.suppress(OSError, ValueError):  # the reader of a pipe is gone
            self._stream.write(text + "\n")
            self._stream.flush()


class _Appended(logging.Handler):
    """Appends lines to a file. A full disk, or a folder that cannot be written, is reported once on stderr."""

    def __init__(self, path: str, screen: logging.Handler, level: int) -> None:
        super().__init__(level)
        self._path, self._screen = path, screen
        self._descriptor: int | None = None
        self._torn, self._reported = False, False

    def emit(self, record: logging.LogRecord) -> None:
        content = ("\n" * self._torn + self.format(record) + "\n").encode("utf-8", "backslashreplace")
        try:
            if self._descriptor is None:
                os.makedirs(self._path.rpartition("/")[0], exist_ok=True)
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            written = os.write(self._descriptor, content)
        except OSError as error:
            self._report(str(error.strerror or error))
            return
        self._torn = written < len(content)
        if self._torn:
            self._report("disk full")

    def _report(self, why: str) -> None:
        if self._reported:
            return
        self._reported = True
        text = line("log_not_written", path=self._path, error=why, text="the search goes on without it")
        self._screen.handle(LOGGER.makeRecord(LOGGER.name, logging.WARNING, "", 0, text, (), None))

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        super().close()
