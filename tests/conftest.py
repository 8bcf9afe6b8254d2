"""What several tests need: small recordings, real recordings, a cache of their own, an unprivileged process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from asd_ray.conformance.workspace import Workspace

    from .hostile import Verbs
    from .s3_server import S3Server

NEED_WEIGHTS = {"finetuned", "pretrained"}  # families
SHARED = Path(__file__).parents[2] / "shared"
# Ray starts its workers with nice 15: on a busy computer they would wait until every other program has had its turn
os.environ.setdefault("RAY_worker_niceness", "0")
# librosa compiles functions at its first import on a computer, which takes half a minute; no test needs them to be fast
os.environ.setdefault("NUMBA_OPT", "0")
# a shell's background commands ignore Ctrl-C, and so would all programs that the tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache, or starts from the user's weights."""
    monkeypatch.setenv("ASD_RAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ASD_RAY_WEIGHTS", raising=False)


@pytest.fixture(scope="session")
def encoder_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for $ASD_RAY_WEIGHTS with a tiny encoder, ``ast``, that takes 1.28 seconds at once."""
    from .tiny_encoders import save_tiny  # transformers takes seconds to import

    folder = tmp_path_factory.mktemp("weights")
    save_tiny("ast", folder / "ast", config={"max_length": 128}, max_length=128)
    return folder


@pytest.fixture(autouse=True)
def _brought_weights(request: pytest.FixtureRequest, _own_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test whose parameter is a family that needs weights finds them where a user puts them."""
    values = getattr(getattr(request.node, "callspec", None), "params", {}).values()
    if any(isinstance(value, str) and value in NEED_WEIGHTS for value in values):
        monkeypatch.setenv("ASD_RAY_WEIGHTS", str(request.getfixturevalue("encoder_weights")))


@pytest.fixture(scope="session")
def realdata() -> Path:
    if not (SHARED / "realdata").is_dir():
        pytest.skip("the real recordings are not beside this checkout")
    return SHARED / "realdata"


@pytest.fixture
def record() -> Callable[..., Path]:
    """Write one recording of seeded noise: `record(path, seconds=0.5, rate=16000, channels=1, subtype="PCM_16")`."""

    def write(
        path: Path, *, seconds: float = 0.5, rate: int = 16_000, channels: int = 1, seed: int = 0, **how: str
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng([seed, len(path.name)]).normal(0, 0.1, (round(seconds * rate), channels))
        soundfile.write(path, noise[:, 0] if channels == 1 else noise, rate, **how)
        return path

    return write


@pytest.fixture
def dataset(tmp_path: Path, record: Callable[..., Path]) -> Callable[..., Path]:
    """A DCASE 2022 shaped folder: `dataset(clips=12, machines=("fan",), suffix="wav")`."""

    def make(clips: int = 12, machines: tuple[str, ...] = ("fan",), suffix: str = "wav", seconds: float = 0.5) -> Path:
        root = tmp_path / "data"
        for m, machine in enumerate(machines):
            folder = root / "dev_data" / machine
            for i in range(clips):
                seed = 1000 * m + i
                train = folder / "train" / f"section_00_source_train_normal_{i:04d}_vel_{i % 3}.{suffix}"
                record(train, seconds=seconds, seed=seed)
            for i, label in enumerate(("normal", "anomaly")):
                test = folder / "test" / f"section_00_source_test_{label}_0000_vel_1.{suffix}"
                record(test, seconds=seconds, seed=5000 + seed + i)
        return root

    return make


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python process on some code; every one that is still alive at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    from .s3_server import S3Server  # moto takes a second to import

    made = S3Server()
    yield made
    made.stop()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any credentials will do, and nothing of the user's."""
    for name in ("PROFILE", "REGION", "DEFAULT_REGION", "ENDPOINT_URL", "ENDPOINT_URL_S3"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def verbs(capsys: pytest.CaptureFixture[str]) -> Verbs:
    """Commands in this process, held to what every bad input must keep."""
    from .hostile import Verbs

    return Verbs(capsys)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that an unprivileged user may enter (pytest's own may not be entered)."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """A module that Python can import in this test: ``module("mine", "PAPER = {}")``."""
    monkeypatch.syspath_prepend(tmp_path / "modules")

    def write(name: str, text: str) -> Path:
        path = tmp_path / "modules" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: with little work, threads would only wait for each other."""
    import torch  # takes seconds to import

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Workspace]:
    """The sound of the conformance suite for a family; what the family has learned of it is kept."""
    from asd_ray.conformance.workspace import Workspace

    from .conformance_setups import SETUPS  # only few tests need torch and our families

    @cache
    def of(name: str) -> Workspace:
        return Workspace(tmp_path_factory.mktemp("conformance"), **SETUPS.get(name, {}))

    return lambda name: of(name if name in SETUPS else "")


@pytest.fixture(scope="session")
def workspace(workspaces: Callable[[str], Workspace]) -> Workspace:
    return workspaces("")
