"""A broker that speaks as much of MQTT 3.1.1 as a publisher needs: CONNECT, PUBLISH with QoS 1, PINGREQ, DISCONNECT."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 12, 13, 14


@dataclass
class Broker:
    port: int = 0
    refuses: int = 0  # the code of CONNACK: 5 is "not authorised"
    acknowledges: bool = True
    published: list[tuple[str, bytes]] = field(default_factory=list)
    connects: list[bytes] = field(default_factory=list)  # variable header and payload of CONNECT
    qualities: set[int] = field(default_factory=set)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Listen while the block runs, on the same port every time; HOST:PORT."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        open_ones: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                open_ones.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"127.0.0.1:{self.port}"
        finally:
            for each in (listener, *open_ones):
                with contextlib.suppress(OSError):  # the client has left
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as stream:
                while first := stream.read(1):
                    length = shift = 0
                    while True:  # seven bits a byte
                        byte = stream.read(1)[0]
                        length |= (byte & 127) << shift
                        shift += 7
                        if byte < 128:
                            break
                    if not self._answer(connection, first[0], stream.read(length)):
                        break
        except (OSError, IndexError, ValueError):
            pass
        connection.close()

    def _answer(self, connection: socket.socket, head: int, packet: bytes) -> bool:
        kind = head >> 4
        if kind == CONNECT:
            self.connects.append(packet)
            connection.sendall(bytes([CONNACK << 4, 2, 0, self.refuses]))
        elif kind == PUBLISH:
            size = struct.unpack_from(">H", packet)[0]
            self.qualities.add(head >> 1 & 3)
            if self.acknowledges:
                self.published.append((packet[2 : 2 + size].decode(), packet[4 + size :]))
                connection.sendall(bytes([PUBACK << 4, 2]) + packet[2 + size : 4 + size])
        elif kind == PINGREQ:
            connection.sendall(bytes([PINGRESP << 4, 0]))
        return kind != DISCONNECT
