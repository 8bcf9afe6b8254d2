"""An answer that says what is wrong with a request."""

from __future__ import annotations

from collections.abc import Mapping

from asd_ray.deploy.serve._serve import JSONResponse

BAD_REQUEST, UNAUTHORIZED, NOT_FOUND, METHOD_NOT_ALLOWED = 400, 401, 404, 405
TOO_LARGE, UNSUPPORTED, UNPROCESSABLE, SERVER_ERROR = 413, 415, 422, 500


class Refusal(Exception):
    """Raised anywhere while a request is answered; its message is for the client."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.message}, self.status, headers=self.headers)
