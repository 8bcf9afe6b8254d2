"""What nobody may do through us: run code by a data file, write outside a run, or reach a private Ray from outside."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from asd_ray.cli.ledger import main as ledger_main
from asd_ray.ensemble import main as ensemble_main
from asd_ray.ensembling import read, write
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord, long_scores, trial_hash
from asd_ray.report import main as report_main

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "asd_ray"

# -- data is never code --------------------------------------------------------------------------------------------

BUILT_IN = {"eval", "exec", "compile", "__import__"}  # as they are; net.eval() is another thing
RUNS_CODE = {
    *("import_module", "spec_from_file_location", "exec_module", "run_path", "run_module"),
    *("system", "popen", "Popen", "check_output", "check_call"),
}
READS_PICKLES = {
    *("torch.load", "np.load", "numpy.load", "pd.read_pickle", "pickle.load", "pickle.loads", "Unpickler"),
    *("joblib.load", "shelve.open", "marshal.load", "marshal.loads", "cloudpickle.load", "cloudpickle.loads"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "jsonpickle.decode", "dill.load"),
}
KNOWN = {  # where, and why it may
    ("asd_ray/__main__.py", "importlib.import_module"),  # a verb of our own table
    ("asd_ray/_torchaudio.py", "importlib.import_module"),  # torchaudio, by its name
    ("asd_ray/__init__.py", "importlib.import_module"),  # of a list of our own modules
    ("asd_ray/papers/index.py", "importlib.import_module"),  # of our own table of papers
    ("asd_ray/detectors/encoders/loading.py", "importlib.import_module"),  # of our own table of encoders
    ("asd_ray/detectors/encoders/fbank.py", "importlib.import_module"),  # a part of torchaudio, by its name
    ("asd_ray/detectors/parts/weights.py", "torch.load"),  # --weights FILE: weights_only, which runs no code
    ("asd_ray/families/family.py", "importlib.import_module"),  # --families package.module:Class
    ("asd_ray/families/space.py", "importlib.util.spec_from_file_location"),  # --space FILE: said to be code
    ("asd_ray/families/space.py", "specification.loader.exec_module"),
    (
        "asd_ray/tuning/on_ray/client.py",
        "subprocess.Popen",
    ),  # our own search on a cluster's head, without a shell
    ("asd_ray/clips/_store.py", "np.load"),  # records of a bank: allow_pickle is off unless asked for
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            with contextlib.suppress(ValueError):
                yield ast.unparse(node.func), node


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def test_what_runs_code_or_reads_pickles_is_known_one_by_one() -> None:
    found = set()
    for path in sources(PACKAGE):
        for name, _ in calls(path):
            if name in BUILT_IN | READS_PICKLES or name.rpartition(".")[2] in RUNS_CODE:
                found.add((path.relative_to(ROOT).as_posix(), name))
    assert found == KNOWN


def test_loads_say_that_they_read_no_pickles() -> None:
    checked = 0
    for path in sources(PACKAGE, ROOT / "tests", ROOT / "benchmarks"):
        for name, call in calls(path):
            said = {word.arg: ast.unparse(word.value) for word in call.keywords}
            if name.endswith("torch.load"):
                assert said.get("weights_only") == "True", path
                checked += 1
            assert said.get("allow_pickle", "False") == "False", path
            assert said.get("weights_only", "True") == "True", path
    assert checked >= 2


def test_yaml_is_read_by_safe_load_alone() -> None:
    checked = 0
    for path in sources(PACKAGE, ROOT / "tests", ROOT / "benchmarks"):
        for name, _ in calls(path):
            if name.startswith("yaml.") and "load" in name:
                assert name in ("yaml.safe_load", "yaml.safe_load_all"), path
                checked += 1
    for path in ROOT.glob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text()), dict), path
        checked += 1
    assert checked


def test_no_verb_imports_pickle() -> None:
    for path in sources(PACKAGE):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"} & set(names), path


def test_a_recipe_is_data_and_a_search_space_is_said_to_be_code() -> None:
    recipes = sorted((ROOT / "ensembles").glob("*.toml"))
    assert recipes
    for path in recipes:
        assert isinstance(tomllib.loads(path.read_text()), dict)
    told = subprocess.run([sys.executable, "-m", "asd_ray.search", "--help"], capture_output=True, text=True).stdout
    assert "run as code" in " ".join(told.split())
    assert "code" in (ROOT / "search_spaces" / "README.md").read_text()


# -- names stay names ----------------------------------------------------------------------------------------------

HOSTILE = [
    *("../evil", "../../evil", "..", ".", "/evil", "/tmp/evil", "a/../../evil", "evil/../../../evil", "./evil"),
    *("..\\evil", "C:\\evil", "\\\\host\\evil", "evil\0", "evil\n", "~/evil", "%2e%2e%2fevil", "$HOME/evil", ".evil"),
    *(
        "‥/evil",
        "．．／evil",
        "..∕evil",
        "e\u202evil",
        "evil\u200b",
        "",
        " ",
        "-" * 200,
        "s3://evil/x",
        "machine=evil/x",
    ),
]
HARMLESS = ["CON", "NUL", "aux", "evil.", "evil..", "--evil", "-rf", "COM1"]  # odd, but no path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that may change is the run's."""
    made = tmp_path / "deep" / "in" / "folders"
    made.mkdir(parents=True)
    monkeypatch.chdir(made)
    return made


def outside(tmp_path: Path, *allowed: Path) -> list[Path]:
    """Files that are in none of the allowed folders."""
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    return [path for path in found if not any(path.is_relative_to(folder) for folder in allowed)]


def table(**changes: str) -> pd.DataFrame:
    made = {
        "system": "A",
        "machine": "fan",
        "id": "00",
        "clip": [f"section_00_source_test_{'anomaly' if n % 2 else 'normal'}_{n:04d}_v.wav" for n in range(8)],
        "score": np.arange(8.0),
        "label": ["normal", "anomaly"] * 4,
    }
    return pd.DataFrame(made | changes)


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("column", ["machine", "id", "system", "clip", "variant"])
def test_names_in_imported_tables_make_no_path_outside_the_run(
    tmp_path: Path, home: Path, column: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of machines and ids bad ones are refused; systems, clips and variants are text that names no file."""
    source, run = tmp_path / "tables", home / "run"
    source.mkdir()
    refused = []
    for number, name in enumerate([*HOSTILE, *HARMLESS]):
        path = source / f"{number}.{form}"
        frame = table(system=f"S{number}").assign(**{column: name})
        frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)
        status = ledger_main(["import", str(run), str(path)])
        assert status in (0, 2), name
        assert "Traceback" not in capsys.readouterr().err
        refused += [name] * (status == 2)
        assert outside(tmp_path, source, run) == []
    if column in ("machine", "id"):
        assert refused == [name for name in HOSTILE if name != "evil\n"], "space around a name is trimmed"
    if column != "clip":  # one name for eight clips is refused as well
        assert all(ledger_main([act, str(run)]) == 0 for act in ("ls", "verify", "compact"))
        assert outside(tmp_path, source, run) == []
    assert not Path("/tmp/evil").exists()


def put_trials(run: Path, **changes: Any) -> Ledger:
    """A ledger as someone else's program may have written it: names that no import lets through."""
    ledger = Ledger(run)
    for number in range(2):
        clips = table().assign(domain="source", split="test").drop(columns=["system", "machine", "score"])
        normals = clips.assign(split="held_out", label="normal", clip=[f"held_{clip}" for clip in clips["clip"]])
        rows = pd.concat([clips, normals], ignore_index=True).assign(**changes)
        record = TrialRecord(
            trial=trial_hash(number=number),
            name=f"fan-ae-{number:04d}",
            machine="fan",
            family="ae",
            objective=0.5,
            variant="mse",
            data_fingerprint="f",
            extra={"year": 2022},
        )
        ledger.commit(record, long_scores(rows, {"mse": np.random.default_rng(number).normal(size=len(rows))}))
    return ledger


def test_an_id_in_a_foreign_ledger_names_no_file_of_a_submission(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(HOSTILE[::5]):
        run = f"run{number}"
        put_trials(home / run, id=name)
        assert ensemble_main(["fan", "--run", run, "--folds", "2", "--repeats", "1", "--recipe", "greedy"]) in (0, 2)
        assert report_main(["--run", run, "--submission", "sent", "--year", "2022"]) == 2, name
        assert report_main(["--run", run]) in (0, 2)
        assert "Traceback" not in capsys.readouterr().err
        assert outside(tmp_path, *home.glob("run*")) == []
    assert not Path("/tmp/evil").exists()


def test_an_ensemble_file_cannot_name_a_place_outside_the_run(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = put_trials(home / "run")
    assert ensemble_main(["fan", "--run", "run", "--folds", "2", "--repeats", "1", "--recipe", "greedy"]) == 0
    made = read(home / "run/ensembles/fan/final.json")
    for name in HOSTILE:
        for changed in (replace(made, machine=name), replace(made, recipe=replace(made.recipe, name=name))):
            with pytest.raises(AsdRayError, match="must be 1 to 128 of the characters"):
                write(ledger, changed)
    forged = home / "run/ensembles/fan/final.json"
    commands = (
        lambda: ensemble_main(["--verify", str(forged), "--run", "run"]),
        lambda: report_main(["--run", "run", "--submission", "sent", "--year", "2022"]),
        lambda: report_main(["--run", "run"]),
    )
    for name in HOSTILE[::6]:
        for changed in (replace(made, machine=name), replace(made, recipe=replace(made.recipe, name=name))):
            forged.write_text(json.dumps(changed.to_json()))
            for command in commands:
                assert command() in (0, 2), name
                assert "Traceback" not in capsys.readouterr().err
            assert outside(tmp_path, home / "run", home / "sent") == []
            assert {path.suffix for path in home.glob("sent/**/*") if path.is_file()} <= {".csv"}
    assert not Path("/tmp/evil").exists()


def test_a_recipe_cannot_name_a_place_outside_the_run(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_trials(home / "run")
    source = (ROOT / "ensembles" / "greedy.toml").read_text()
    given = tmp_path / "mine"
    given.mkdir()
    for name in HOSTILE:
        (given / "mine.toml").write_text(f"name = {quoted(name)}\n" + without_name(source))
        status = ensemble_main(["fan", "--run", "run", "--folds", "2", "--recipe", str(given / "mine.toml")])
        assert status in (0, 2)
        assert "Traceback" not in capsys.readouterr().err
        assert outside(tmp_path, home / "run", given) == []


def quoted(text: str) -> str:
    return '"' + "".join(c if c.isalnum() else f"\\u{ord(c):04x}" for c in text) + '"'


def without_name(source: str) -> str:
    return "\n".join(line for line in source.splitlines() if not line.startswith("name"))


@pytest.mark.parametrize("field", ["machine", "family", "trial"])
def test_a_record_in_a_foreign_file_is_checked_when_it_is_read(field: str) -> None:
    told = TrialRecord(trial="t1", name="x", machine="fan", family="ae").to_dict()
    refused = 0
    for name in HOSTILE:
        with pytest.raises(AsdRayError, match="name"):
            TrialRecord(**{**told, field: name})
        refused += 1
    assert refused == len(HOSTILE)


# -- a private Ray is private --------------------------------------------------------------------------------------

SEARCH = """
    import os, sys
    from asd_ray.tuning.ray_settings import import_ray
    import_ray("local")  # as the verb does it
    from asd_ray.tuning.on_ray.cluster import ray_at
    from asd_ray.tuning.on_ray._ray import ray

    with ray_at(cpus=1, dashboard=True) as dashboard:
        ray.get(ray.remote(lambda: 1).remote())
        session = ray._private.worker._global_node.get_session_dir_path()
        print(session, dashboard, ray.get_runtime_context().gcs_address, flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def private_ray(tmp_path: Path) -> Iterator[tuple[list[psutil.Process], str, str]]:
    """Its processes, its dashboard's address and its control store's, of a Ray as a search starts it."""
    import textwrap

    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SEARCH)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    mine: list[psutil.Process] = []
    try:
        session, dashboard, gcs = process.stdout.readline().split()
        time.sleep(3)  # agents start after the first worker
        started = psutil.Process(process.pid)
        mine = [started, *started.children(recursive=True)]
        for other in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if other not in mine and any(session in part for part in other.cmdline()):
                    mine.append(other)
        yield mine, dashboard, gcs
        process.communicate("\n", timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
        for each in psutil.wait_procs(mine, timeout=20)[1]:
            each.kill()


def test_a_private_ray_listens_on_loopback_alone_and_wants_its_token(
    private_ray: tuple[list[psutil.Process], str, str],
) -> None:
    processes, dashboard, gcs = private_ray
    heard: dict[str, set[str]] = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for socket in process.net_connections("inet"):
                if socket.status == psutil.CONN_LISTEN or (socket.type == 2 and not socket.raddr):
                    heard.setdefault(process.name(), set()).add(socket.laddr.ip.removeprefix("::ffff:"))
    assert {"gcs_server", "raylet"} <= set(heard), heard
    assert set.union(*heard.values()) <= {"127.0.0.1", "::1"}, heard

    import urllib.error
    import urllib.request

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path in ("/api/jobs/", "/api/version", "/nodes?view=summary"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            direct.open(f"http://{dashboard}{path}", timeout=20)
    asks = f"from ray._raylet import GcsClient; GcsClient(address={gcs!r}).internal_kv_get(b'session_name', b'session')"
    for token, may in ((None, True), ("0" * 64, False)):
        environment = {**os.environ, "RAY_AUTH_MODE": "token", **({"RAY_AUTH_TOKEN": token} if token else {})}
        command = [sys.executable, "-c", f"import ray; {asks}"]
        tried = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
        assert (tried.returncode == 0) == may, tried.stderr
        assert may or "Unauthenticated" in tried.stderr, tried.stderr
