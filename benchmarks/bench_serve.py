"""Serving over HTTP: requests per second and waiting times, against a loop that scores the same files in one process.

BENCH_BUNDLE=fan.bundle uses a bundle of your own. The server has one replica with one CPU, and the loop one thread. The
clients run in this process; they and Serve's proxy take time of other CPUs.
"""

from __future__ import annotations

import http.client
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from asd_ray import Bundle
from asd_ray.tuning.ray_settings import import_ray
from benchmarks._bundles import bundle_in, recordings
from benchmarks._timing import Row

FILES, SECONDS = 64, 10.0
CLIENTS = (1, 8, 32)
TIME = 15.0  # seconds of each measurement
PORT = 8765


def run() -> Iterator[Row]:
    import_ray("local")  # before the next imports, which need it
    from asd_ray.deploy.serve.config import ServeConfig
    from asd_ray.deploy.serve.server import serving
    from asd_ray.tuning.on_ray.cluster import ray_at

    with tempfile.TemporaryDirectory() as place:
        path = bundle_in(Path(place))
        files = recordings(Path(place) / "long", FILES, SECONDS)
        bundle = Bundle.load(path)
        config = ServeConfig({"fan": str(path.absolute())}, token=False)
        with ray_at(dashboard=False), serving(config, port=PORT, ray_ends=True):
            bodies = [file.read_bytes() for file in files]
            _loop(bundle, files)  # not measured: the first is slower
            for clients in CLIENTS:
                before = _loop(bundle, files)
                waits, wall = _clients(clients, bodies, bundle.ids[0])
                each = (before + _loop(bundle, files)) / 2  # other programs may have come or gone
                median, slow = np.quantile(waits, [0.5, 0.99])
                rate = len(waits) / wall
                yield (
                    f"serve: {clients} client{'s' * (clients != 1)}, {len(bundle.detectors)} detectors",
                    "a bare loop over the same bundle",
                    rate * each,
                    f"{rate:.1f} requests of {SECONDS:g} s a second, p50 {median * 1000:.0f} ms, "
                    f"p99 {slow * 1000:.0f} ms; the loop {1 / each:.1f} a second, {each * 1000:.0f} ms each",
                )


def _loop(bundle: Bundle, files: Sequence[Path]) -> float:
    """Seconds per file of reading and scoring one after the other, in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started = time.perf_counter()
    for file in files:
        bundle.score(file, id=bundle.ids[0])
    seconds = time.perf_counter() - started
    torch.set_num_threads(threads)
    return seconds / len(files)


def _clients(count: int, bodies: Sequence[bytes], id: str) -> tuple[list[float], float]:
    """The seconds that each request took, and those of all. A client sends the next request when it has its answer."""
    end = time.perf_counter() + TIME

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        waits, at = [], number
        while (started := time.perf_counter()) < end:
            connection.request("POST", f"/score?id={id}", bodies[at % len(bodies)])
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            waits.append(time.perf_counter() - started)
            at += count
        connection.close()
        return waits

    started = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        waits = [wait for own in pool.map(client, range(count)) for wait in own]
    return waits, time.perf_counter() - started
