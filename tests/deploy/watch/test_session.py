from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asd_ray.deploy.watch import Watch, Webhook, deliver, run_watch
from asd_ray.deploy.watch.events import Event
from asd_ray.errors import AsdRayError
from benchmarks._band_scorer import fitted, noise
from tests.deploy.watch.http_receiver import HttpReceiver
from tests.deploy.watch.test_watch import Recording

SCORER = fitted(20)
URLS = ("http://127.0.0.1:9/a", "http://127.0.0.1:9/b")


def watch(machine: str = "fan", id: str = "00") -> Watch:
    return Watch(replace(SCORER, machine=machine), Recording(noise(2.0)), window=1.0, id=id)


def folders(spool: Path, watching: Watch, urls: tuple[str, ...] = URLS) -> set[Path]:
    before = set(spool.glob("*"))
    for delivery in deliver([(Webhook(url), url) for url in urls], watching, print, spool=spool):
        delivery.close(grace=0.0)
    return set(spool.glob("*")) - before


def test_each_machine_id_and_receiver_has_a_spool_that_is_found_again(tmp_path: Path) -> None:
    assert len(folders(tmp_path, watch())) == 2
    assert len(folders(tmp_path, watch())) == 0
    assert len(folders(tmp_path, watch(id="02"))) == 2
    assert len(folders(tmp_path, watch("pump"))) == 2
    assert all(path.name.startswith("webhook-") for path in tmp_path.iterdir())


def test_a_spool_in_use_is_refused_and_the_others_are_let_go(tmp_path: Path) -> None:
    (running,) = deliver([(Webhook(URLS[1]), URLS[1])], watch(), print, spool=tmp_path)
    with pytest.raises(AsdRayError, match="another watch is using this spool"):
        folders(tmp_path, watch())
    (free,) = deliver([(Webhook(URLS[0]), URLS[0])], watch(), print, spool=tmp_path)
    for delivery in (running, free):
        delivery.close(grace=0.0)


def test_an_output_that_fails_loses_nothing_for_the_receiver(tmp_path: Path) -> None:
    receiver = HttpReceiver()

    def show(event: Event) -> None:
        if event.kind == "stopped":
            raise BrokenPipeError

    with receiver.running() as url:
        deliveries = deliver([(Webhook(url), url)], watch(), print, spool=tmp_path)
        with pytest.raises(BrokenPipeError):
            run_watch(watch(), show, deliveries)
    assert [event["event"] for event in receiver.confirmed] == ["started", "stopped"]


def test_the_spool_is_in_the_cache_by_default(tmp_path: Path) -> None:
    """The cache of a test is a folder of its own."""
    (delivery,) = deliver([(Webhook(URLS[0]), URLS[0])], watch(), print)
    delivery.close(grace=0.0)
    assert len(list((tmp_path / "cache" / "watch").iterdir())) == 1
