"""A real server on Ray: concurrent clients, requests that it refuses, its token, where it listens, and its end."""

from __future__ import annotations

import contextlib
import io
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import soundfile

from tests.deploy.conftest import SmallRun
from tests.deploy.serve.client import Client
from tests.deploy.serve.conftest import Served


def recording(seconds: float, form: str = "WAV") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, np.zeros(round(16_000 * seconds), np.int16), 16_000, format=form)
    return content.getvalue()


def test_eight_clients_at_once_get_the_scores_of_their_own_recordings(served: Served, small: SmallRun) -> None:
    names = list(served.bundles)
    wanted = {(name, clip): served.bundles[name].score(clip, id="01") for name in names for clip in small.clips}
    clips = small.clips[:7]

    def ask(number: int) -> list[tuple[str, Path, dict[str, object]]]:
        answers = []
        for turn in range(6):
            name, clip = names[(number + turn) % 2], clips[(number + turn) % len(clips)]
            reply = served.client.post(f"/{name}/score?id=01&name={clip.name}", clip)
            assert reply.status == 200, reply
            answers.append((name, clip, reply.content))
        return answers

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for own in pool.map(ask, range(8)) for answer in own]
    assert len(answers) == 48
    for name, clip, answer in answers:
        score = wanted[name, clip]
        assert answer["name"] == clip.name
        assert answer["score"] == pytest.approx(score.score, rel=1e-5)
        assert answer["members"] == pytest.approx(dict(score.members), rel=1e-4)
        assert {**answer, "notes": []} == {
            **score.to_json(),
            "name": clip.name,
            "notes": [],
            "score": answer["score"],
            "members": answer["members"],
        }
    assert len({answer["score"] for _, _, answer in answers}) > 8


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/left/score", b"", 400, "the body is empty; send the recording as the body: curl --data-binary @new.wav"),
        ("/left/score", b"RIFF????WAVE no sound", 422, "cannot be read as wav or flac"),
        ("/left/score", recording(0.5)[:600], 422, "truncated"),
        ("/left/score", recording(0.01), 422, "too short"),
        ("/left/score", recording(7, "FLAC"), 422, "too long: 7 s where at most 6 s are scored; cut it into clips"),
        ("/left/score", b"." * 1_100_000, 413, "the body is larger than 1 MB; cut the recording into clips"),
        ("/left/score?ID=02", recording(1), 400, "unknown parameter 'ID'; known: id, name"),
        ("/middle/score", recording(1), 404, "no bundle is named 'middle'; known: left, right"),
        ("/score", recording(1), 404, "there are several bundles; name one: /NAME/score; known: left, right"),
        ("/left", recording(1), 404, "there is nothing at this address"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(served: Served, path: str, body: bytes, status: int, words: str) -> None:
    reply = served.client.post(path, body)
    assert (reply.status, list(reply.content)) == (status, ["error"])
    assert words in reply.content["error"]
    assert "/dev/fd" not in reply.content["error"]


def test_a_body_without_an_end_is_refused_once_it_is_too_large(served: Served) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 16
            yield b"." * (1 << 16)

    connection_ended = (BrokenPipeError, ConnectionResetError)
    before = sum(process.memory_info().rss for process in served.server.processes)
    with contextlib.suppress(*connection_ended):
        assert served.client.post("/left/score", endless()).status == 413
    assert sum(process.memory_info().rss for process in served.server.processes) < before + 200e6
    assert served.client.get("/").status == 200


def test_a_form_and_other_methods_are_refused(served: Served) -> None:
    form = served.client.post("/left/score", b"--x", {"Content-Type": "multipart/form-data; boundary=x"})
    assert (form.status, "the body is a form" in form.content["error"]) == (415, True)
    for method, path, allowed in (("GET", "/left/score", "POST"), ("DELETE", "/", "GET"), ("POST", "/health", "GET")):
        reply = served.client.send(method, path)
        assert (reply.status, reply.headers["allow"]) == (405, allowed)
        assert reply.content == {"error": f"this address takes {allowed} and not {method}"}


def test_an_id_without_training_clips_is_noted(served: Served, small: SmallRun) -> None:
    ids = served.bundles["left"].ids
    clip = small.clips[0]
    assert len(ids) > 1
    assert served.client.post(f"/left/score?id={ids[0]}", clip).content["notes"] == []
    new = served.client.post("/left/score?id=77", clip).content
    assert new["id"] == "77"
    assert new["notes"] == [f"fan has no id 77 in training ({', '.join(ids)}); the sound is compared with all ids"]
    assert "name one: ?id=ID" in served.client.post("/left/score", clip).content["notes"][0]


def test_a_silent_recording_is_scored_with_a_warning(served: Served) -> None:
    answer = served.client.post("/left/score?id=00", recording(1, "FLAC")).content
    assert answer["warnings"] == ["it is silent: check the microphone and its cable"]
    assert answer["name"] == ""


def test_the_bundles_are_described(served: Served) -> None:
    reply = served.client.get("/")
    assert [each["name"] for each in reply.content["bundles"]] == ["left", "right"]
    for each in reply.content["bundles"]:
        bundle = served.bundles[each["name"]]
        metric = bundle.ensemble.headline
        assert metric is not None
        assert (each["machine"], tuple(each["ids"]), each["rate"]) == ("fan", bundle.ids, bundle.rate)
        assert (each["threshold"], each["members"]) == (bundle.threshold, len(bundle.members))
        assert (each["recipe"], each["created"]) == (bundle.ensemble.name, bundle.created)
        assert each["headline"]["value"] == metric.value
        assert each["headline"]["protocol"] == bundle.ensemble.headline_protocol


@pytest.mark.parametrize("token", [None, "", "0" * 64, "é"])
def test_without_the_token_only_the_health_page_answers(served: Served, token: str | None) -> None:
    stranger = Client(served.client.port)
    header = {} if token is None else {"Authorization": f"Bearer {token}"}
    for method, path in (("GET", "/"), ("POST", "/left/score"), ("GET", "/nothing")):
        reply = stranger.send(method, path, recording(1) if method == "POST" else None, header)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert "ray get-auth-token" in reply.content["error"]
        assert "left" not in reply.content["error"]
    assert stranger.get("/health").content == {"status": "ok"}
    assert stranger.get("/-/healthz").status == 200


def test_it_listens_on_loopback_and_what_serve_opens_beyond_it_needs_the_token(served: Served) -> None:
    beyond: list[int] = []
    for process in served.server.processes:
        with contextlib.suppress(psutil.Error):
            for at in process.net_connections("inet"):
                if at.status == psutil.CONN_LISTEN and at.laddr.ip.removeprefix("::ffff:") not in ("127.0.0.1", "::1"):
                    beyond.append(at.laddr.port)
    assert len(beyond) == 1  # a replica's, for requests from other deployments
    call = "/ray.serve.ASGIService/HandleRequest"
    with grpc.insecure_channel(f"127.0.0.1:{beyond[0]}") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(call)(b"", timeout=20)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_ctrl_c_ends_every_process(served: Served) -> None:  # the last test of this file: it ends the server
    status, left = served.server.end(signal.SIGINT, group=True)
    assert (status, left) == (0, [])
    printed = served.server.log.read_text().splitlines()
    address = f"http://127.0.0.1:{served.client.port}"
    assert printed == [
        f"left: fan (ids 00, 01), 3 members → {address}/left/score",
        f"right: fan (ids 00, 01), 1 member → {address}/right/score",
        'try: curl -H "Authorization: Bearer $(ray get-auth-token)" --data-binary @new.wav '
        f"'{address}/left/score?id=00'",
        "Ctrl-C stops the server",
        "stopped",
    ]
