"""From the end of a trial to its files in the ledger: one record per machine, stored together with its scores."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from asd_ray.errors import AsdRayError, StorageError
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.record import FIXED
from asd_ray.ledger.states import States
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.events import Outcome
from asd_ray.tuning.judge import PROTOCOLS
from asd_ray.tuning.ledger_view import find_trial, joint_record
from asd_ray.tuning.spec import TrialSpec

PACKAGES = ("asd_ray", "torch", "torchaudio", "numpy", "scikit-learn", "ray", "optuna")


def records_of(
    spec: TrialSpec,
    source: DataSource,
    status: str,
    per_machine: Sequence[dict[str, Any]] | None = None,
    **fields: Any,
) -> list[TrialRecord]:
    """One record for each machine of a trial. `per_machine` has the fields that differ between them."""
    origin = {"prior": spec.prior, FIXED: spec.fixed}
    extra = {**fields.pop("extra", {}), **{name: value for name, value in origin.items() if value}}
    return [
        TrialRecord(
            trial=spec.hash,
            name=spec.name,
            machine=machine,
            family=spec.family,
            number=spec.number,
            params=spec.params,
            seed=spec.seed,
            status=status,
            protocol=PROTOCOLS[spec.settings.objective],
            versions=versions(),
            dataset=source.name,
            data_fingerprint=source.fingerprint(machine),
            paper=spec.paper,
            machines=spec.machines,
            target=spec.target,
            version=spec.version,
            settings=spec.settings,
            extra=extra,
            **fields,
            **own,
        )
        for machine, own in zip(spec.machines, per_machine or [{}] * len(spec.machines), strict=True)
    ]


def commit(
    ledger: Ledger,
    records: Sequence[TrialRecord],
    tables: Sequence[Any] | None = None,
    state: bytes | None = None,
) -> Outcome:
    """Store a trial. The Outcome has the record that the ledger then holds, which may be an earlier, better one.

    A disk or S3 that refuses the trial is stated in the Outcome. Scores that the ledger cannot hold are an AsdRayError.
    The state is stored first: a trial in the ledger whose state is missing would be learned again, while a state
    without its trial is written again by the same trial. A state that cannot be stored does not keep the trial out.
    """
    record, refused = joint_record(records), ""
    if state is not None:
        try:
            States(ledger).put(record.family, record.trial, state)
        except StorageError as error:
            refused = str(error)
    outcome = _committed(ledger, records, record, tables)
    return replace(outcome, storage_error=outcome.storage_error or refused)


def _committed(
    ledger: Ledger, records: Sequence[TrialRecord], record: TrialRecord, tables: Sequence[Any] | None
) -> Outcome:
    try:
        accepted = [ledger.commit(*file) for file in zip(records, tables or [None] * len(records), strict=True)]
        if not all(accepted):
            with contextlib.suppress(AsdRayError):  # the trial is stored, but S3 does not answer what is there
                machines = [each.machine for each in records]
                record = find_trial(ledger, machines, record.family, record.trial) or record
    except StorageError as error:
        return Outcome(record, storage_error=str(error))
    except AsdRayError as error:
        if tables is not None:
            raise
        bare = [
            replace(each, params={}, extra={}, intermediate={}, error=f"{each.error} ({error})") for each in records
        ]
        return _commit_bare(ledger, bare)
    return Outcome(record)


def _commit_bare(ledger: Ledger, records: Sequence[TrialRecord]) -> Outcome:
    """Store a failed trial without the fields that the ledger refused, so that one odd trial does not end a search."""
    try:
        for record in records:
            ledger.commit(record)
    except AsdRayError as error:
        return Outcome(joint_record(records), storage_error=str(error))
    return Outcome(joint_record(records))


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Package -> version, of those that determine a trial's numbers."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # Ray, where all searches are serial
            found[name] = importlib.metadata.version(name)
    return found
