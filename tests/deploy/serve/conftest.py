"""A server with two bundles, started by the command, for the tests of one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from asd_ray import Bundle
from tests.deploy.conftest import SmallRun
from tests.deploy.serve.client import Client, Server, free_port, started


@dataclass(frozen=True)
class Served:
    """A server of two bundles of one machine that score differently."""

    server: Server
    bundles: dict[str, Bundle]  # as the server has them, by name

    @property
    def client(self) -> Client:
        return self.server.client


@pytest.fixture(scope="session")
def two_bundles(small: SmallRun) -> dict[str, Path]:
    other = small.folder.with_name("single.bundle")
    small.run.bundle("fan", other, recipe="best_single")
    return {"left": small.folder, "right": other}


@pytest.fixture(scope="module")
def served(two_bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With a token, bodies of at most 1 MB and recordings of at most 6 s."""
    from asd_ray.deploy.serve.token import read_token

    port, log = free_port(), tmp_path_factory.mktemp("served") / "log"
    words = [f"{name}={path}" for name, path in two_bundles.items()]
    options = ["--port", port, "--token", "--max-megabytes", 1, "--max-minutes", 0.1]
    with started(["asd_ray", "serve", *words, *options], log, port=port) as server:
        client = Client(port, read_token())  # Ray has written the token by now
        yield Served(
            Server(client, server.program, server.session, log),
            {name: Bundle.load(path) for name, path in two_bundles.items()},
        )
