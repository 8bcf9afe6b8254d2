"""moto's S3 on loopback, which pyarrow speaks to as it would speak to AWS; the fixtures `s3_server` and `aws`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer


class S3Server:
    """Keeps its address, although it may be away for a while."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        self.host, self.port = self._server.get_host_and_port()

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    @contextmanager
    def away(self, seconds: float) -> Iterator[None]:
        """Gone now, back after that time."""
        self._server.stop()
        self._server = ThreadedMotoServer(self.host, self.port, verbose=False)
        back = threading.Timer(seconds, self._server.start)
        back.start()
        try:
            yield
        finally:
            back.join()

    def stop(self) -> None:
        self._server.stop()
