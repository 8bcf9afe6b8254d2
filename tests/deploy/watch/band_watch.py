"""``python -m tests.deploy.watch.band_watch SOURCE JSON``: a watch in a process of its own, with the small scorer.

JSON holds `rate` of a stream, `webhook`, `spool`, and what `Watch` takes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asd_ray._terminal import say
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
from tests.deploy.watch.band_scorer import RATE, fitted


def main(source: str, options: str) -> None:
    how = json.loads(options)
    rate, webhook, spool = how.pop("rate", RATE), how.pop("webhook", None), how.pop("spool", None)
    sound = PcmStream(0, rate) if source == "-" else AudioFolder(source, settle=0.6)
    watch = Watch(fitted(), sound, **{"window": 1.0, **how})

    def note(text: str) -> None:
        say(text, error=True)

    receivers = [(Webhook(webhook), webhook)] if webhook else []
    deliveries = deliver(receivers, watch, note, spool=Path(spool) if spool else None)
    with stopped_by_signals(watch):
        run_watch(watch, show_line, deliveries)


if __name__ == "__main__":
    main(*sys.argv[1:])
