"""``python -m benchmarks._band_watch SOURCE JSON``: a watch in a process of its own, with the scorer of a band.

JSON holds `rate` of a stream, `webhook`, `spool`, `bundle` or the `scorer_rate`, and what `Watch` takes. Tests use this
module as well.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asd_ray._terminal import say
from asd_ray.deploy.result import Scorer
from asd_ray.deploy.watch import (
    AudioFolder,
    PcmStream,
    Watch,
    Webhook,
    deliver,
    run_watch,
    show_line,
    stopped_by_signals,
)
from benchmarks._band_scorer import RATE, fitted


def main(source: str, options: str) -> None:
    how = json.loads(options)
    rate, webhook, spool = how.pop("rate", RATE), how.pop("webhook", None), how.pop("spool", None)
    scorer = _scorer(how.pop("bundle", None), how.pop("scorer_rate", RATE), how.get("window", 1.0))
    sound = PcmStream(0, rate) if source == "-" else AudioFolder(source, settle=0.6)
    watch = Watch(scorer, sound, **{"window": 1.0, **how})

    def note(text: str) -> None:
        say(text, error=True)

    receivers = [(Webhook(webhook), webhook)] if webhook else []
    deliveries = deliver(receivers, watch, note, spool=Path(spool) if spool else None)
    with stopped_by_signals(watch):
        run_watch(watch, show_line, deliveries)


def _scorer(bundle: str | None, rate: int, window: float) -> Scorer:
    if bundle is None:
        return fitted(window=window, rate=rate)
    import torch

    from asd_ray.deploy.bundle import Bundle

    torch.set_num_threads(1)
    return Bundle.load(bundle)


if __name__ == "__main__":
    main(*sys.argv[1:])
