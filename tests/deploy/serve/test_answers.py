"""Answers of a replica, without Ray around it: batches, sounds that fail, and a request that ends early."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pytest
import soundfile
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve._private.config import DeploymentConfig
from ray.serve.context import ReplicaContext
from ray.serve.schema import ReplicaRank
from starlette.requests import Request

from asd_ray import Bundle
from asd_ray.deploy.result import ClipScore
from asd_ray.deploy.serve.answers import Answers
from asd_ray.deploy.serve.batches import BatchedBundle
from asd_ray.deploy.sound import Sound
from asd_ray.errors import AsdRayError
from tests.deploy.conftest import SmallRun

AT_ONCE = 12


@dataclass(frozen=True)
class Fragile(Bundle):
    """A bundle that cannot score loud sounds, and that records the sizes of batches."""

    sizes: list[int] = field(default_factory=list)
    error: Exception = field(default_factory=lambda: AsdRayError("too loud for this detector"))

    @classmethod
    def of(cls, bundle: Bundle, error: Exception) -> Fragile:
        return cls(**{each.name: getattr(bundle, each.name) for each in fields(Bundle)}, error=error)

    def score_sounds(
        self, sounds: Sequence[Sound], ids: Sequence[str], domains: Sequence[str] | None = None
    ) -> list[ClipScore]:
        self.sizes.append(len(sounds))
        if any(np.abs(sound.samples).max() > 30_000 for sound in sounds):
            raise self.error
        return super().score_sounds(sounds, ids, domains)


@pytest.fixture(autouse=True)
def _as_in_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve's batches ask for the context of their replica."""
    context = ReplicaContext(
        replica_id=ReplicaID("0", DeploymentID("scorer", "asd_ray")),
        servable_object=Answers,
        _deployment_config=DeploymentConfig(max_ongoing_requests=AT_ONCE + 4),
        rank=ReplicaRank(rank=0, node_rank=0, local_rank=0),
        world_size=1,
    )
    monkeypatch.setattr("ray.serve.context._INTERNAL_REPLICA_CONTEXT", context)


def recording(level: float, seconds: float = 1.0) -> bytes:
    content = io.BytesIO()
    noise = np.random.default_rng(round(level)).uniform(-level, level, round(16_000 * seconds))
    soundfile.write(content, noise.astype(np.int16), 16_000, format="WAV")
    return content.getvalue()


async def reply(answers: Answers, body: bytes, path: str = "/fan/score", root_path: str = "") -> tuple[int, Any]:
    scope = {
        "type": "http",
        "method": "POST",
        "path": root_path + path,
        "root_path": root_path,
        "query_string": b"id=00",
        "headers": [],
    }
    messages = [{"type": "http.request", "body": body, "more_body": False}] if body else [{"type": "http.disconnect"}]

    async def receive() -> Mapping[str, Any]:
        return messages.pop(0)

    response = await answers.to(Request(scope, receive))  # type: ignore[arg-type]
    return response.status_code, json.loads(response.body)


def answering(bundle: Bundle) -> Answers:
    batched = BatchedBundle(bundle, ThreadPoolExecutor(1))
    return Answers({"fan": batched}, token=None, most_bytes=10**6, most_seconds=60)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (AsdRayError("too loud for this detector"), 422, "too loud for this detector"),
        (ValueError("shape mismatch"), 500, "an error in the server; its log has the details"),
    ],
)
def test_a_sound_that_fails_does_so_alone(small: SmallRun, error: Exception, status: int, words: str) -> None:
    fragile = Fragile.of(small.load(), error)
    bodies = [recording(32_000.0 if at == 5 else 1000.0 + at) for at in range(AT_ONCE)]

    async def ask() -> list[tuple[int, Any]]:
        answers = answering(fragile)
        return await asyncio.gather(*(reply(answers, body) for body in bodies))

    replies = asyncio.run(ask())
    assert [code for code, _ in replies] == [status if at == 5 else 200 for at in range(AT_ONCE)]
    assert words in replies[5][1]["error"]
    assert "shape mismatch" not in replies[5][1]["error"]
    assert max(fragile.sizes) > 1
    for body, (code, content) in zip(bodies, replies, strict=True):
        if code == 200:
            alone = small.load().score(*soundfile.read(io.BytesIO(body), dtype="int16"), id="00")
            assert content["score"] == pytest.approx(alone.score, rel=1e-5)


def test_concurrent_requests_are_scored_together(small: SmallRun) -> None:
    fragile = Fragile.of(small.load(), ValueError())

    async def ask() -> None:
        answers = answering(fragile)
        await asyncio.gather(*(reply(answers, recording(1000.0)) for _ in range(AT_ONCE)))

    asyncio.run(ask())
    assert sum(fragile.sizes) == AT_ONCE
    assert len(fragile.sizes) < AT_ONCE / 2


def test_a_single_bundle_needs_no_name_and_a_prefix_of_the_address_is_left_out(small: SmallRun) -> None:
    async def ask() -> list[tuple[int, Any]]:
        answers = answering(small.load())
        return [
            await reply(answers, recording(1000.0), path, prefix)
            for path, prefix in (("/score", ""), ("/fan/score", "/line3"), ("/score/", "/line3"), ("/fan/score", ""))
        ]

    replies = asyncio.run(ask())
    assert [code for code, _ in replies] == [200] * 4
    assert len({content["score"] for _, content in replies}) == 1


def test_a_client_that_leaves_is_no_error_of_the_server(small: SmallRun) -> None:
    code, content = asyncio.run(reply(answering(small.load()), b""))
    assert code == 400
    assert "closed before the whole body was sent" in content["error"]
