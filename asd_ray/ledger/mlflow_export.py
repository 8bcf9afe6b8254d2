"""Write the trials of a ledger as runs of MLflow, for teams that keep all their experiments there.

The ledger remains the only source: an export that is repeated writes what is new or has changed, and nothing is read
back. mlflow is imported when an export is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asd_ray._terminal import visible
from asd_ray.errors import AsdRayError
from asd_ray.ledger.own_folders import refuse_own_folder
from asd_ray.ledger.record import STATUSES, TrialRecord
from asd_ray.ledger.store import Ledger
from asd_ray.ledger.units import unit_of
from asd_ray.storage.places import is_address, storage_error

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

Item = TypeVar("Item")

CURE = "name another file, such as mlflow.db"
SERVERS = ("http://", "https://")
SQLITE = "sqlite:///"
PASSWORD = re.compile(r"(?<=://)[^/?#@]*@")  # user and password in an address
RUN, TRIAL, CONTENT = "asd_ray.run", "asd_ray.trial", "asd_ray.content"  # tags; content: a digest of what was written
FORMAT = 1  # of our runs; a new number writes all of them again
STATES = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
TAGS = ("machine", "family", "status", "variant", "protocol", "seed", "paper", "source", "dataset", "version", "node",
        "device", "error")  # fmt: skip
NUMBERS = ("epochs", "seconds", "peak_memory_mb")
MOST_METRICS, MOST_PARAMS, LONGEST_NAME, LONGEST_TEXT, PAGE = 1000, 100, 250, 5000, 1000  # MLflow's limits
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing is sent to anybody but the server that the user names
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by default a server that is away is an error after minutes
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class MlflowExport:
    """What an export did, and where the runs are."""

    uri: str  # without a password
    experiments: tuple[str, ...]
    new: int = 0
    replaced: int = 0  # trials that have changed since the last export
    unchanged: int = 0


def export_mlflow(
    ledger: Ledger,
    store: str | Path,
    *,
    machine: str | None = None,
    family: str | None = None,
    statuses: Sequence[str] = STATUSES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> MlflowExport:
    """Write one MLflow run per trial, in one experiment per machine named ``RUN/MACHINE``.

    `store` is an SQLite file, or the http(s) address of a tracking server. Repeated, it writes only what is missing.
    `progress(done, total)` is called after each trial.
    """
    ledger.check_known(machine, family)
    records = [record for record in ledger.records(machine, family) if record.status in statuses]
    uri = _uri(store)
    if not records:
        raise AsdRayError(f"{ledger.layout.root}: no trial to export; search first, or choose other trials")
    counts = {"new": 0, "replaced": 0, "unchanged": 0}
    experiments: dict[str, _Experiment] = {}
    with _explained(store), _defaults():
        client = _client(uri)
        for done, record in enumerate(records):
            name = experiment_name(ledger, record.machine)
            if name not in experiments:
                experiments[name] = _Experiment(client, name, ledger.layout.url(ledger.layout.base))
            counts[experiments[name].put(record)] += 1
            progress(done + 1, len(records))
    return MlflowExport(without_password(uri), tuple(experiments), **counts)


def experiment_name(ledger: Ledger, machine: str) -> str:
    return visible(f"{ledger.layout.name}/{machine}")


def without_password(address: str) -> str:
    """An address as it may be printed."""
    return PASSWORD.sub("", address)


class _Experiment:
    """One experiment of MLflow, and which trials of the run it has already; runs of one name share it."""

    def __init__(self, client: MlflowClient, name: str, root: str) -> None:
        self.client, self.root = client, _text(root)
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "active":
            raise AsdRayError(f"the experiment {name!r} was deleted in MLflow; restore it there, or delete it for good")
        self.id = client.create_experiment(name) if found is None else found.experiment_id
        self.stored = {
            run.data.tags[TRIAL]: run
            for run in self._runs()
            if TRIAL in run.data.tags and run.data.tags.get(RUN) == self.root
        }

    def put(self, record: TrialRecord) -> str:
        """Write a trial's run unless it is there. The content's tag is written last, so half a run is replaced."""
        content = hashlib.blake2b(f"{FORMAT} {record.to_json()}".encode(), digest_size=8).hexdigest()
        before = self.stored.get(record.trial)
        if before is not None and before.data.tags.get(CONTENT) == content:
            return "unchanged"
        if before is not None:
            self.client.delete_run(before.info.run_id)
        ended = round(datetime.fromisoformat(record.created).timestamp() * 1000)
        run = self.client.create_run(
            self.id,
            start_time=ended - round(1000 * (record.seconds or 0)),
            tags={RUN: self.root, TRIAL: record.trial},
            run_name=visible(record.name),
        )
        self._log(run.info.run_id, record, ended)
        self.client.set_terminated(run.info.run_id, STATES[record.status], end_time=ended)
        self.client.set_tag(run.info.run_id, CONTENT, content)
        return "new" if before is None else "replaced"

    def _log(self, run: str, record: TrialRecord, ended: int) -> None:
        from mlflow.entities import Metric, Param, RunTag

        tags = {f"asd_ray.{name}": getattr(record, name) for name in TAGS}
        texts = [RunTag(name, _text(value)) for name, value in tags.items() if value not in ("", None)]
        names = _named_apart(record.params)
        params = [Param(names[name], _text(value)) for name, value in record.params.items()]
        values = list(_metrics(record))
        names = _named_apart(name for name, _, _ in values)
        metrics = [Metric(names[name], value, ended, step) for name, value, step in values]
        self.client.log_batch(run, tags=texts)
        for some_params in _batches(params, MOST_PARAMS):
            self.client.log_batch(run, params=some_params)
        for some_metrics in _batches(metrics, MOST_METRICS):
            self.client.log_batch(run, metrics=some_metrics)

    def _runs(self) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs([self.id], max_results=PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


def _metrics(record: TrialRecord) -> Iterator[tuple[str, float, int]]:
    """Name, value and step. The objective has the name of its unit, so that values of different units are apart."""
    unit = unit_of(record)
    values = {unit: record.objective, **record.objective_parts, **{name: getattr(record, name) for name in NUMBERS}}
    steps = [(f"{unit}_by_epoch", value, epoch) for epoch, value in sorted(record.intermediate.items())]
    for name, value, step in [*((name, value, 0) for name, value in values.items()), *steps]:
        if value is not None and math.isfinite(value):
            yield name, float(value), step


def _name(text: str) -> str:
    """A name that MLflow takes: its characters, and no empty part or dots alone between slashes."""
    parts = [re.sub(r"[^\w\-. :]", "_", part) for part in text.split("/")]
    return "/".join("_" if part.strip(".") == "" else part for part in parts)[:LONGEST_NAME]


def _named_apart(texts: Iterable[str]) -> dict[str, str]:
    """Text -> a name that MLflow takes. A run has each name once, so one that is taken gets underscores."""
    names: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        name = _name(text)
        while name in names.values():
            name = f"_{name}"[:LONGEST_NAME]
        names[text] = name
    return names


def _text(value: Any) -> str:
    return visible(value, lines=True)[:LONGEST_TEXT]


def _batches(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _uri(store: str | Path) -> str:
    """The address for MLflow. AsdRayError for a file that is not MLflow's."""
    text = os.fspath(store)
    if text.startswith(SERVERS):
        return text
    path = Path(text.removeprefix(SQLITE)).expanduser()
    if is_address(path) or "?" in str(path) or path.is_dir():
        raise AsdRayError(f"{text}: name a file such as mlflow.db, or the http:// address of a tracking server")
    refuse_own_folder(path, CURE)
    try:
        empty = _is_empty(path)
    except OSError as error:
        raise storage_error(error, path, "the export", CURE) from error
    if not empty and not {"experiments", "runs"} <= _tables(path):
        raise AsdRayError(f"{path}: exists and is not a file of MLflow; {CURE}")
    return f"{SQLITE}{path.absolute()}"


def _is_empty(path: Path) -> bool:
    """Whether the file is new or empty. OSError if it cannot be written: MLflow would try for minutes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("ab") as opened:
        size = opened.tell()
    if is_new:
        path.unlink()
    return size == 0


def _tables(path: Path) -> set[str]:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as stored:
            return {row[0] for row in stored.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return set()


@contextlib.contextmanager
def _defaults() -> Iterator[None]:
    """Our settings of MLflow where the user has none, for the time of the export."""
    added = {name: value for name, value in DEFAULTS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _client(uri: str) -> MlflowClient:
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise AsdRayError(f"an export to MLflow needs mlflow ({error}); pip install 'asd_ray[mlflow]'") from error
    return MlflowClient(tracking_uri=uri)


@contextlib.contextmanager
def _explained(store: str | Path) -> Iterator[None]:
    """What MLflow or its database cannot do, as an AsdRayError of one line."""
    try:
        yield
    except AsdRayError:
        raise
    except Exception as error:  # mlflow's, SQLAlchemy's and requests' have no base of their own
        if type(error).__module__.partition(".")[0] not in ("mlflow", "sqlalchemy", "sqlite3", "requests", "alembic"):
            raise
        reason = without_password(str(error).strip().partition("\n")[0])
        where = without_password(os.fspath(store))
        raise AsdRayError(f"{where}: MLflow cannot store the trials ({reason:.300}); run the command again") from error
