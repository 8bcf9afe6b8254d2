from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from asd_ray.deploy.watch.delivery import Delivery, Undelivered
from asd_ray.deploy.watch.mqtt import Mqtt
from asd_ray.deploy.watch.spool import Spool
from asd_ray.errors import AsdRayError
from tests.deploy.watch.broker import Broker
from tests.deploy.watch.http_receiver import eventually
from tests.deploy.watch.test_delivery import event


@pytest.mark.parametrize(
    "address", ["broker", "broker:1883", "broker:0/t", "broker:99999/t", "/t", "a b/t", "h/a/#", "h/+"]
)
def test_what_is_no_broker_and_topic_is_refused(address: str) -> None:
    with pytest.raises(AsdRayError, match="--mqtt"):
        Mqtt(address)


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho", None)
    monkeypatch.delitem(sys.modules, "paho.mqtt", raising=False)
    with pytest.raises(AsdRayError, match=r'pip install "asd_ray\[mqtt\]"'):
        Mqtt("broker/plant")


def test_a_message_is_sent_with_quality_1_and_confirmed() -> None:
    broker = Broker()
    with broker.running() as address:
        mqtt = Mqtt(f"{address}/plant/fan 3/alarms", timeout=5.0)
        for number in range(3):
            mqtt.send(json.dumps({"number": number}).encode())
        mqtt.close()
    assert broker.published == [("plant/fan 3/alarms", json.dumps({"number": n}).encode()) for n in range(3)]
    assert broker.qualities == {1}
    assert len(broker.connects) == 1  # one connection for all


def test_user_and_password_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASD_RAY_MQTT_USER", "anna")
    monkeypatch.setenv("ASD_RAY_MQTT_PASSWORD", "hunter2")
    broker = Broker()
    with broker.running() as address:
        mqtt = Mqtt(f"{address}/t")
        mqtt.send(b"{}")
        mqtt.close()
    assert broker.connects[0].endswith(b"\x00\x04anna\x00\x07hunter2")
    assert mqtt.name == f"mqtt://{address}"


def test_a_broker_that_refuses_is_named() -> None:
    broker = Broker(refuses=5)
    with broker.running() as address, pytest.raises(Undelivered, match="refused the connection"):
        Mqtt(f"{address}/t").send(b"{}")


def test_without_a_confirmation_an_event_is_not_delivered() -> None:
    broker = Broker(acknowledges=False)
    with broker.running() as address:
        mqtt = Mqtt(f"{address}/t", timeout=0.5)
        with pytest.raises(Undelivered, match="has not confirmed"):
            mqtt.send(b"{}")
        broker.acknowledges = True
        mqtt.send(b"{}")
        mqtt.close()
    assert len(broker.published) == 1  # paho sends nothing again on its own


def test_a_broker_that_comes_back_gets_everything_in_order(tmp_path: Path) -> None:
    broker, notes = Broker(), list[str]()
    with broker.running() as address:
        delivery = Delivery(Mqtt(f"{address}/t", timeout=2.0), Spool(tmp_path), notes.append, first_pause=0.05)
        delivery.put(event(0))
        eventually(lambda: len(broker.published) == 1)
    for number in range(1, 5):
        delivery.put(event(number))
    eventually(lambda: notes)
    with broker.running():
        eventually(lambda: len(broker.published) >= 5)
        delivery.close()
    assert list(dict.fromkeys(json.loads(body)["name"] for _, body in broker.published)) == list("01234")
    assert "cannot be reached" in notes[0]
