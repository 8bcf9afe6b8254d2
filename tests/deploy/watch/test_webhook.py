from __future__ import annotations

import pytest

from asd_ray.deploy.watch.delivery import Undelivered
from asd_ray.deploy.watch.webhook import Webhook
from asd_ray.errors import AsdRayError
from tests.deploy.watch.http_receiver import HttpReceiver


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "host/path", "http://", "file:///etc/passwd", "http://h/ö", "http://h/a b"]
)
def test_what_is_no_http_address_is_refused(url: str) -> None:
    with pytest.raises(AsdRayError, match="--webhook"):
        Webhook(url)


@pytest.mark.parametrize("url", ["http://host:99999/", "http://[::1/"])
def test_broken_addresses_are_refused(url: str) -> None:
    with pytest.raises(AsdRayError, match="--webhook: this is no address"):
        Webhook(url)


def test_passwords_in_the_address_are_refused_and_not_shown() -> None:
    with pytest.raises(AsdRayError, match="ASD_RAY_WEBHOOK_TOKEN") as refused:
        Webhook("https://me:hunter2@host/")
    assert "hunter2" not in str(refused.value)


def test_the_name_for_messages_has_no_path() -> None:
    assert Webhook("https://hooks.example.com/T0/secret?key=1").name == "https://hooks.example.com"
    assert Webhook("http://127.0.0.1:8080/x").name == "http://127.0.0.1:8080"


def test_a_token_is_sent_as_bearer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASD_RAY_WEBHOOK_TOKEN", "abc")
    receiver = HttpReceiver()
    with receiver.running() as url:
        Webhook(url).send(b"{}")
    assert receiver.headers[0]["Authorization"] == "Bearer abc"


def test_no_server_is_undelivered() -> None:
    receiver = HttpReceiver()
    with receiver.running() as url:
        pass
    with pytest.raises(Undelivered, match="cannot be reached"):
        Webhook(url, timeout=1.0).send(b"{}")
