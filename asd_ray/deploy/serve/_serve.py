"""Ray Serve, imported in one place, because it is an extra."""

from __future__ import annotations

from asd_ray.errors import AsdRayError

try:
    import ray
    from ray import serve
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response
except ImportError as error:
    raise AsdRayError(
        f'serving needs Ray Serve, which is not installed ({error}); run: pip install "asd_ray[serve]"'
    ) from error

__all__ = ["ClientDisconnect", "JSONResponse", "Request", "Response", "ray", "serve"]
