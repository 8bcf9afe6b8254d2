"""The addresses of the server, and its answers: all of them JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.serve._serve import ClientDisconnect, JSONResponse, Request
from asd_ray.deploy.serve.batches import BROKEN, BatchedBundle
from asd_ray.deploy.serve.refusal import (
    BAD_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    SERVER_ERROR,
    UNAUTHORIZED,
    Refusal,
)
from asd_ray.deploy.serve.token import has_token
from asd_ray.deploy.serve.upload import Upload

QUERY = ("id", "name")  # what may follow the ? of an address

log = logging.getLogger("ray.serve")


class Answers:
    """``await answers.to(request)``. Without a `token`, every request is answered."""

    def __init__(
        self, bundles: Mapping[str, BatchedBundle], *, token: str | None, most_bytes: int, most_seconds: float
    ) -> None:
        self._bundles, self._token = bundles, token
        self._most_bytes, self._most_seconds = most_bytes, most_seconds

    async def to(self, request: Request) -> JSONResponse:
        try:
            return JSONResponse(await self._content(request))
        except Refusal as refusal:
            return refusal.response()
        except ClientDisconnect:
            return Refusal(BAD_REQUEST, "the connection was closed before the whole body was sent").response()
        except Exception:
            log.exception("a request could not be answered")
            return Refusal(SERVER_ERROR, BROKEN).response()

    async def _content(self, request: Request) -> Any:
        path = request.scope["path"][len(request.scope.get("root_path", "")) :].strip("/")
        if path == "health":  # for load balancers, which have no token; it tells nothing about the bundles
            _allow(request, "GET")
            return {"status": "ok"}
        self._check_token(request)
        match path.split("/"):
            case [""]:
                _allow(request, "GET")
                return {"bundles": [about(name, each.bundle) for name, each in self._bundles.items()]}
            case ["score"] if len(self._bundles) == 1:
                _allow(request, "POST")
                return await self._score(request, next(iter(self._bundles.values())))
            case [name, "score"] if name in self._bundles:
                _allow(request, "POST")
                return await self._score(request, self._bundles[name])
            case [name, "score"]:
                raise Refusal(NOT_FOUND, f"no bundle is named {name[:100]!r}; known: {self._names()}")
            case ["score"]:
                raise Refusal(NOT_FOUND, f"there are several bundles; name one: /NAME/score; known: {self._names()}")
            case _:
                raise Refusal(
                    NOT_FOUND,
                    "there is nothing at this address; POST a recording to /NAME/score, or GET / or /health; "
                    f"known names: {self._names()}",
                )

    async def _score(self, request: Request, batched: BatchedBundle) -> dict[str, Any]:
        for key in request.query_params:
            if key not in QUERY:
                raise Refusal(BAD_REQUEST, f"unknown parameter {key[:100]!r}; known: {', '.join(QUERY)}")
        id, name = (request.query_params.get(key, "") for key in QUERY)
        with Upload() as upload:
            await upload.receive(request, self._most_bytes)
            sound = await asyncio.to_thread(upload.decode, batched.bundle, name, self._most_seconds)
        result = await batched.score(sound, id)
        return {**result.to_json(), "notes": id_notes(batched.bundle, id)}

    def _check_token(self, request: Request) -> None:
        if self._token is None or has_token(request.headers.get("authorization", ""), self._token):
            return
        raise Refusal(
            UNAUTHORIZED,
            "this needs the header Authorization: Bearer TOKEN, with the token that `ray get-auth-token` prints where "
            "the server runs",
            {"WWW-Authenticate": "Bearer"},
        )

    def _names(self) -> str:
        return ", ".join(self._bundles)


def _allow(request: Request, method: str) -> None:
    """Refuse other methods. HEAD is GET without the content, which the server leaves out itself."""
    if request.method != method and (request.method, method) != ("HEAD", "GET"):
        raise Refusal(METHOD_NOT_ALLOWED, f"this address takes {method} and not {request.method}", {"Allow": method})


def about(name: str, bundle: Bundle) -> dict[str, Any]:
    """What a client may want to know of a bundle. `headline` is the number of its model card."""
    ensemble = bundle.ensemble
    metric = ensemble.headline
    return {
        "name": name,
        "machine": bundle.machine,
        "ids": list(bundle.ids),
        "rate": bundle.rate,
        "threshold": bundle.threshold,
        "members": len(bundle.members),
        "recipe": ensemble.name,
        "created": bundle.created,
        "headline": metric
        and {
            "protocol": ensemble.headline_protocol,
            "value": metric.value,
            "interval": list(metric.interval),
            "auc": metric.auc,
            "pauc": metric.pauc,
        },
    }


def id_notes(bundle: Bundle, id: str) -> list[str]:
    """A note where a sound is not judged by its own id."""
    ids = ", ".join(bundle.ids)
    if id and id not in bundle.ids:
        return [f"{bundle.machine} has no id {id} in training ({ids}); the sound is compared with all ids"]
    if not id and len(bundle.ids) > 1:
        return [f"the sound is compared with all ids of {bundle.machine} ({ids}); name one: ?id=ID"]
    return []
