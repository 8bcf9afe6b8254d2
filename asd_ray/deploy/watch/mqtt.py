"""A receiver by MQTT: every event is one message of JSON with quality of service 1, which the broker confirms."""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

from asd_ray.deploy.watch.delivery import Undelivered
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    from paho.mqtt.client import Client

PORT = 1883
TIMEOUT = 10.0  # seconds to connect, and to wait for a confirmation
ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^/:\[\]\s]+)(?::(?P<port>\d{1,5}))?/(?P<topic>.+)")
USER_VARIABLE, PASSWORD_VARIABLE = "ASD_RAY_MQTT_USER", "ASD_RAY_MQTT_PASSWORD"


class Mqtt:
    """Publishes to HOST[:PORT]/TOPIC. User and password come from $ASD_RAY_MQTT_USER and $ASD_RAY_MQTT_PASSWORD.

    A new connection is made after any failure, so that paho does not send on its own what the spool sends again.
    """

    def __init__(self, address: str, *, timeout: float = TIMEOUT) -> None:
        match = ADDRESS.fullmatch(address)
        port = int(match["port"] or PORT) if match else 0
        if match is None or not 0 < port < 65_536:
            raise AsdRayError(f"--mqtt must be HOST[:PORT]/TOPIC, such as broker:1883/plant/fan, but got {address!r}")
        if set(match["topic"]) & set("+#\0") or len(match["topic"].encode(errors="replace")) > 65_535:
            raise AsdRayError(f"--mqtt: {match['topic']!r} is no topic to publish to; leave out + and #")
        _paho()
        self._host, self._port, self._topic = match["host"].strip("[]"), port, match["topic"]
        self.timeout = timeout
        self.name = f"mqtt://{match['host']}:{port}"
        self._client: Client | None = None

    def send(self, body: bytes) -> None:
        try:
            if self._client is None or not self._client.is_connected():
                self.close()
                self._client = self._connected()
            message = self._client.publish(self._topic, body, qos=1)
            message.wait_for_publish(self.timeout)
            if not message.is_published():
                raise Undelivered(f"it has not confirmed an event within {self.timeout:g} s")
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            raise Undelivered(f"it cannot be reached ({error})") from error
        except Undelivered:
            self.close()
            raise

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _connected(self) -> Client:
        """A client whose connection the broker has accepted."""
        client_module = _paho()
        answered, codes = threading.Event(), []

        def on_connect(client: Any, data: Any, flags: Any, code: Any, properties: Any) -> None:
            codes.append(code)
            answered.set()

        client: Client = client_module.Client(client_module.CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        client.on_connect = on_connect
        client.connect_timeout = self.timeout
        if user := os.environ.get(USER_VARIABLE):
            client.username_pw_set(user, os.environ.get(PASSWORD_VARIABLE))
        client.connect(self._host, self._port)
        client.loop_start()
        if answered.wait(self.timeout) and not codes[0].is_failure:
            return client
        client.disconnect()
        client.loop_stop()
        raise Undelivered(f"it refused the connection ({codes[0]})" if codes else "it does not answer as a broker")


def _paho() -> Any:
    try:
        from paho.mqtt import client
    except ImportError:
        raise AsdRayError('--mqtt needs the package paho-mqtt: pip install "asd_ray[mqtt]"') from None
    return client
