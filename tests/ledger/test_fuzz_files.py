"""Fuzz: footers with other values or other bytes. `ASD_RAY_FUZZ=5000` tries so many, other ones each time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asd_ray.ledger import Ledger

from ..hostile import Verbs, bounded
from .conftest import make_trial
from .footers import OTHERS, described, fill, rewrite, victim

MANY = "ASD_RAY_FUZZ"
FEW = settings(
    max_examples=int(os.environ.get(MANY, "12")),
    deadline=None,
    derandomize=MANY not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "complete", "failed", "pruned", "import", "mse", "fan", "../x", "[red]", "\x1b[2J", "=1+1"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


READERS = (("ls", "--sort", "seconds"), ("ls",), ("show", "fan-ae-0005"), ("show", "fan-ae-0001"))


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from nodes(value[key])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    fill(Ledger(folder / "run"), make_trial)
    return folder


@FEW
@given(data=st.data())
def test_no_footer_harms_a_reader(
    data: st.DataObject, template: Path, tmp_path_factory: pytest.TempPathFactory, verbs: Verbs
) -> None:
    base = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(template / "run", base / "run")
    ledger = Ledger(base / "run")
    path, run = victim(ledger), base / "run"
    trials = described(path)
    others = {record.trial for record in ledger.records()} - {path.stem}
    for _ in range(data.draw(st.integers(1, 3), "changes")):
        container, key = data.draw(st.sampled_from(list(nodes(trials))), "node")
        action = data.draw(st.sampled_from(["replace", "remove", "twist"]))
        if action == "remove":
            del container[key]
        elif action == "twist" and isinstance(container, dict):
            container[data.draw(st.sampled_from(list(container)))] = container[key]
        else:
            container[key] = data.draw(VALUES, "value")
        if not trials:
            break
    rewrite(path, json.dumps(trials).encode())
    with bounded(seconds=30, gib=1):
        shown = json.loads(verbs("ledger", "ls", run, "--json").out)
        assert others <= {each["trial"] for each in shown}
        for verb in READERS:
            verbs(*("ledger", verb[0], run, *verb[1:]))
        verbs("ledger", "export", run, base / "all.csv")
        if len(shown) > OTHERS:  # the file is believed, so let those that compute look at it
            verbs("search", "--status", run)
            verbs("ensemble", "fan", "--run", run, "--by", "train", "--recipe", "best_single")
            verbs("report", "--run", run, "--out", base / "report")
        for action in ("compact", "verify"):
            verbs("ledger", action, run)
        assert verbs("ledger", "verify", run).status == 0
    assert len(Ledger(run).records()) >= OTHERS
    shutil.rmtree(base)


def test_the_run_that_is_changed_is_one_of_which_ensembles_are_chosen(
    template: Path, tmp_path: Path, verbs: Verbs
) -> None:
    shutil.copytree(template / "run", tmp_path / "run")
    run = tmp_path / "run"
    assert verbs("ensemble", "fan", "--run", run, "--by", "train", "--recipe", "best_single").status == 0
    assert verbs("report", "--run", run).status == 0


@FEW
@given(data=st.data())
def test_no_bytes_of_a_footer_harm_a_reader(
    data: st.DataObject, template: Path, tmp_path_factory: pytest.TempPathFactory, verbs: Verbs
) -> None:
    base = tmp_path_factory.mktemp("bytes")
    shutil.copytree(template / "run", base / "run")
    path, run = victim(Ledger(base / "run")), base / "run"
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            at = len(content) - 1 - data.draw(st.integers(0, min(2500, len(content) - 1)))  # most of it is the footer
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with bounded(seconds=30, gib=1):
        for verb in (("ls", run), ("export", run, base / "all.csv"), ("compact", run), ("verify", run)):
            verbs("ledger", *verb)
        assert verbs("ledger", "verify", run).status == 0
    assert len(Ledger(run).records()) >= OTHERS
    shutil.rmtree(base)
