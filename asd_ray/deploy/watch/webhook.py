"""A receiver by HTTP: every event is one POST of JSON."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from typing import IO

from asd_ray import __version__
from asd_ray.deploy.watch.delivery import Undelivered
from asd_ray.errors import AsdRayError

TIMEOUT = 10.0  # seconds to connect, and between two pieces of the answer
TOKEN_VARIABLE = "ASD_RAY_WEBHOOK_TOKEN"


class Webhook:
    """POSTs to `url`. Any answer of 200 to 299 confirms; everything else, a redirection too, is tried again later.

    The token, by default from $ASD_RAY_WEBHOOK_TOKEN, is sent as ``Authorization: Bearer …``. Messages name only the
    host, because the rest of such an address is often secret.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT, token: str | None = None) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            host, port, scheme = parts.hostname, parts.port, parts.scheme
        except ValueError as error:
            raise AsdRayError(f"--webhook: this is no address ({error}); give http://host/path or https://…") from error
        if scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
            raise AsdRayError("--webhook must be an address such as https://host/path, in ASCII")
        if parts.username is not None:
            raise AsdRayError(
                f"--webhook: leave user and password out of the address; put a token in ${TOKEN_VARIABLE}"
            )
        self.url, self.timeout = url, timeout
        self.name = f"{scheme}://{host}{f':{port}' if port else ''}"
        self._headers = {"Content-Type": "application/json", "User-Agent": f"asd_ray/{__version__}"}
        token = os.environ.get(TOKEN_VARIABLE) if token is None else token
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._opener = urllib.request.build_opener(_NoRedirection)

    def send(self, body: bytes) -> None:
        request = urllib.request.Request(self.url, body, self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            error.close()
            raise Undelivered(f"it answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise Undelivered(f"it cannot be reached ({reason or type(reason).__name__})") from error
        if not 200 <= status < 300:
            raise Undelivered(f"it answered {status}")

    def close(self) -> None:
        pass


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """urllib would follow a redirection of a POST with a GET, and the event would be lost."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None
