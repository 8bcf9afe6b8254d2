"""Faults of the computer that a search names before the first trial."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from asd_ray.errors import AsdRayError, StorageError
from asd_ray.ledger import Ledger
from asd_ray.storage.caches import cache_root
from asd_ray.tuning.environment import PACKAGES

from ..hostile import Unlucky, Verbs, unharmed

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize("value", ["abc", "nan", "inf", "-1", "1e400"])
def test_a_wrong_cap_of_the_cache_stops_the_search_and_then_it_runs(
    verbs: Verbs, options: list[object], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ASD_RAY_FEATURES_GIB", value)
    verbs.refused(*options, words=("$ASD_RAY_FEATURES_GIB must be", "such as 32"))
    assert Ledger("r").records() == []
    monkeypatch.delenv("ASD_RAY_FEATURES_GIB")
    if value == "abc":
        assert verbs(*options).status == 0
        assert [record.status for record in Ledger("r").records()] == ["complete"]


@pytest.mark.parametrize("place", ["cache", "cache/features", "cache/banks"])
@pytest.mark.parametrize("by", ["variable", "option"])
def test_a_cache_that_is_a_file_is_named(
    verbs: Verbs, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, by: str
) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("mine")
    monkeypatch.setenv("ASD_RAY_CACHE", str(tmp_path / ("cache" if by == "variable" else "other")))
    more = [] if by == "variable" else ["--cache", tmp_path / "cache"]
    with unharmed(tmp_path):
        verbs.refused(*options, *more, words=(f"{tmp_path / place}: not a folder", "--cache DIR", "$ASD_RAY_CACHE"))
    assert not Path("r").exists()


@pytest.mark.parametrize(
    ("place", "why"), [("r", " is a file, and a folder is needed"), ("r/ledger", ": not a folder")]
)
def test_a_run_in_which_nothing_can_be_stored_is_named_before_a_trial(
    verbs: Verbs, options: list[object], tmp_path: Path, place: str, why: str
) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("mine")
    with unharmed(tmp_path / "r" if place == "r/ledger" else tmp_path):
        verbs.refused(*options, words=(f"{tmp_path / place}{why}", "--run"))


@pytest.mark.parametrize("package", ["torchaudio", "sklearn", "optuna", "threadpoolctl", "torch"])
def test_a_package_that_is_not_installed_is_named(
    verbs: Verbs, options: list[object], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    verbs.refused(*options, words=(f"not installed: {package}; install asd_ray again",))
    assert not Path("r").exists()


@pytest.mark.parametrize("package", ["rich", "numpy", "soxr"])
def test_a_package_that_the_command_itself_imports_is_named(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nfrom asd_ray.search import main\nsys.exit(main(['fan']))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert f"not installed: {package}; install asd_ray again" in answer.stderr


def test_every_package_that_a_search_needs_is_looked_for() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]
    names = {re.split(r"[^\w-]", each)[0] for each in project["dependencies"]}
    imported = {"scikit-learn": "sklearn", "pyyaml": "yaml"}
    assert {imported.get(name, name) for name in names} - {"jinja2", "matplotlib", "pillow", "ray"} == set(PACKAGES)


def test_checks_hold_where_python_drops_asserts() -> None:
    argv = [sys.executable, "-O", "-m", "asd_ray.search", "fan", "--families", "json:NoClass"]
    answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "family json:NoClass: module 'json' has no attribute 'NoClass'" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_run_that_cannot_be_written_is_said_before_anything_is_decoded(
    verbs: Verbs, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decodes(*what: Any, **how: Any) -> None:
        raise AssertionError("it decodes")

    monkeypatch.setattr("asd_ray.clips.bank.open_bank", decodes)
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    verbs.refused(*options, words=(f"{tmp_path}: not writable, so no trial could be stored", "--run"))


@pytest.mark.parametrize(("family", "status"), [("idnn", 2), ("twfr_gmm", 0)])
def test_a_gpu_that_is_busy_is_said_before_the_first_trial(
    verbs: Verbs, options: list[object], monkeypatch: pytest.MonkeyPatch, family: str, status: int
) -> None:
    busy = RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore")
    monkeypatch.setattr("torch.zeros", Unlucky(busy))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    at = options.index("twfr_gmm")
    monkeypatch.setattr("asd_ray.dataset.scan", Unlucky(AsdRayError("it went on")))
    answer = verbs.refused(*options[:at], family, *options[at + 1 :])
    assert ("the GPU cannot be used (CUDA error: all" in answer.err) == (status == 2)
    assert ("it went on" in answer.err) == (status == 0)


def test_without_ray_there_is_still_the_serial_search(
    verbs: Verbs, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # type: ignore[arg-type]
    verbs.refused(
        *(each for each in options if each != "--serial"), words=("not installed: ray", "search with --serial")
    )
    assert verbs(*options).status == 0


def test_a_package_that_cannot_be_imported_is_named(
    verbs: Verbs, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "sklearn.mixture")
    monkeypatch.setattr("sys.path_hooks", [])
    monkeypatch.setattr("sys.path_importer_cache", {})
    monkeypatch.setattr(
        "sys.meta_path", [each for each in sys.meta_path if getattr(each, "__name__", "") != "PathFinder"]
    )
    monkeypatch.setattr("asd_ray.tuning.environment.PACKAGES", ())
    verbs.refused(*options, words=("a package that trials need cannot be imported (ModuleNotFoundError",))


@pytest.mark.parametrize(
    ("name", "value"),
    [("COLUMNS", "0"), ("COLUMNS", "-3"), ("COLUMNS", "9" * 20), ("COLUMNS", "x"), ("LINES", "x")]
    + [("OMP_NUM_THREADS", "x")]
    + [("TMPDIR", "/nowhere"), ("HOME", "/nowhere"), ("ASD_RAY_PRETEND_GPU", "x"), ("XDG_CACHE_HOME", "relative")]
    + [("TERM", ""), ("NO_COLOR", "x"), ("FORCE_COLOR", ""), ("PYTHONHASHSEED", "x"), ("CUDA_VISIBLE_DEVICES", "x")],
)  # fmt: skip
def test_odd_variables_change_nothing(
    verbs: Verbs, options: list[object], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert verbs(*options).status == 0


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"ASD_RAY_CACHE": ""}, "{home}/.cache/asd_ray"),
        ({"ASD_RAY_CACHE": "", "XDG_CACHE_HOME": "relative"}, "{home}/.cache/asd_ray"),
        ({"ASD_RAY_CACHE": "", "XDG_CACHE_HOME": ""}, "{home}/.cache/asd_ray"),
        ({"ASD_RAY_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/asd_ray"),
        ({"ASD_RAY_CACHE": "~/mine", "XDG_CACHE_HOME": "/xdg"}, "{home}/mine"),
        ({"ASD_RAY_CACHE": "/mine"}, "/mine"),
    ],
)
def test_where_the_cache_lies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache_root()) == place.format(home=tmp_path)


@pytest.mark.parametrize("given", [None, "~no_such_user_here/x"])
def test_a_cache_without_a_home_is_said(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    def homeless(*what: Any) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("ASD_RAY_CACHE", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(StorageError, match=r"the cache has no place .*--cache DIR"):
        cache_root(given)


@pytest.mark.parametrize(
    ("address", "variable", "words"),
    [
        ("auto", "127.0.0.1:1", ("--address auto: no Ray could be joined (nothing answers at 127.0.0.1:1)",)),
        ("auto", "junk", ("--address auto: no Ray could be joined ('junk' is not HOST:PORT)",)),
        ("auto", "", ("--address auto: no Ray could be joined (",)),
        ("127.0.0.1:1", "", ("--address 127.0.0.1:1: no Ray could be joined (nothing answers",)),
        ("127.0.0.1:x", "", ("--address 127.0.0.1:x: no Ray could be joined (",)),
        ("nowhere", "", ("--address nowhere: no Ray could be joined ('nowhere' is not HOST:PORT)",)),
        ("127.0.0.1:99999", "", ("--address 127.0.0.1:99999: no Ray could be joined (nothing answers",)),
    ],
)
def test_a_ray_that_is_not_there_is_said_within_seconds(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, variable: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", variable)
    if not variable and address == "auto":
        monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda folder: None)
        monkeypatch.setattr("ray._private.services.find_gcs_addresses", frozenset)
    began = time.process_time()
    verbs.refused("search", "fan", "--families", "twfr_gmm", "--address", address, words=words)
    assert time.process_time() - began < 20
    assert list(tmp_path.iterdir()) == []  # no demo set was made


def test_a_cluster_whose_client_port_does_not_answer_is_said_within_seconds(verbs: Verbs, tmp_path: Path) -> None:
    began = time.monotonic()
    there = ("--address", "ray://127.0.0.1:1", "--data", "/d", "--run", "/r")
    verbs.refused(
        "search", "fan", "--families", "twfr_gmm", *there, words=("could not connect (nothing answers there)",)
    )
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x/.ray"),
            ("a private Ray could not be started (", "/x/.ray", "search with --serial"),
        ),
        (  # what Ray 2.5x raises on a computer that is too busy
            Exception("The current node timed out during startup. This could happen because …"),
            ("did not start within 30 seconds", "other programs keep this computer busy", "search with --serial"),
        ),
    ],
    ids=["no folder", "too busy"],
)
def test_a_private_ray_that_cannot_start_is_said(
    error: Exception, words: tuple[str, ...], verbs: Verbs, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**how: Any) -> None:
        raise error

    monkeypatch.setattr("asd_ray.tuning.on_ray.cluster.ray.init", fails)
    verbs.refused(*(each for each in options if each != "--serial"), words=words)
