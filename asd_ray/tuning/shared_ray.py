"""One Ray for the searches of one command."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from asd_ray.tuning.config import LOCAL, Runtime
from asd_ray.tuning.ray_settings import import_ray


class SharedRay:
    """The Ray of one search, or of several that follow each other: starting one takes seconds.

    It starts, or is joined, when the first search calls `join`, and ends with the ``with`` block.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stack = ExitStack()
        self._dashboard: str | None = None  # None: not joined yet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dashboard = None
        self._stack.close()

    def join(self, say: Callable[[str], None]) -> str:
        """Join the Ray unless that is done, and say so first. Returns the dashboard's address, or ""."""
        if self._dashboard is None:
            runtime = self._runtime
            say("starting Ray …" if runtime.address == LOCAL else f"joining Ray at {runtime.address} …")
            import_ray(runtime.address)
            from asd_ray.tuning.on_ray.cluster import ray_at

            ray = ray_at(runtime.address, cpus=runtime.cpus, dashboard=runtime.dashboard)
            self._dashboard = self._stack.enter_context(ray)
        return self._dashboard
