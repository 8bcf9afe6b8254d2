"""The recording in a request's body: received in bounded memory, then decoded."""

from __future__ import annotations

import tempfile
from dataclasses import replace

from asd_ray.clips.audio import UnreadableClip, read_header
from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.serve._serve import Request
from asd_ray.deploy.serve.refusal import BAD_REQUEST, TOO_LARGE, UNPROCESSABLE, UNSUPPORTED, Refusal
from asd_ray.deploy.sound import Sound

SEND = "send the recording as the body: curl --data-binary @new.wav ADDRESS"


class Upload:
    """A file without a name, which the system removes when it is closed or when this process dies."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    async def receive(self, request: Request, most: int) -> None:
        """Write the body to the file. A body above `most` bytes is refused as soon as that is known."""
        too_large = Refusal(TOO_LARGE, f"the body is larger than {most / 1e6:g} MB; cut the recording into clips")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and len(declared) < 20 and int(declared) > most:
            raise too_large
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise Refusal(UNSUPPORTED, f"the body is a form; {SEND}")
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise too_large
            self._file.write(chunk)
        if not size:
            raise Refusal(BAD_REQUEST, f"the body is empty; {SEND}")

    def decode(self, bundle: Bundle, name: str, most_seconds: float) -> Sound:
        """The sound at the bundle's rate. Decoding takes a while: call this in a thread."""
        path = f"/dev/fd/{self._file.fileno()}"
        self._file.seek(0)  # some systems share the position of a file that is opened by its number
        try:
            seconds = read_header(path).seconds
            if seconds > most_seconds:
                raise UnreadableClip(
                    f"too long: {seconds:.0f} s where at most {most_seconds:g} s are scored", "cut it into clips"
                )
            self._file.seek(0)
            return replace(Sound.read(path, bundle.rate, bundle.channel), name=name)
        except UnreadableClip as error:
            raise Refusal(UNPROCESSABLE, str(error)) from error
