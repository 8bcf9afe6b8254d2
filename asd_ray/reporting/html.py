"""The report as one page: no file beside it, no request to a network, everything that users named escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from asd_ray._terminal import typed, visible
from asd_ray.reporting import charts, text
from asd_ray.reporting.importances import EVALUATOR
from asd_ray.reporting.leaderboard import differing
from asd_ray.reporting.machine import FORECASTS
from asd_ray.reporting.svg import colour

GENERATOR = "asd_ray report"  # tells our page from another that is called report.html
PAGE = Path(__file__).parent / "page"
MOST = 200  # rows of a leaderboard; all of them are in its CSV


def page(facts: Mapping[str, Any]) -> str:
    made = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_readable,
    )
    made.filters |= {
        "number": lambda value, digits=4: text.number(_known(value), digits),
        "signed": lambda value: text.signed(_known(value)),
        "span": lambda value, plus=False: text.span(_known(value), plus=plus),
        "percent": text.percent,
        "short": text.short,
        "settings": text.settings,
        "counted": text.count,
    }
    measured = {row["maximise"] for row in facts["summary"]["rows"]}
    made.globals |= {
        "charts": charts,
        "colour": colour,
        "differences": differing,
        "evaluator": EVALUATOR,
        "measures": text.MEASURES,
        "most": MOST,
        "forecast_protocols": FORECASTS,
        "generator": GENERATOR,
        "short_names": text.SHORT,
        "typed": typed,
    }
    gains = [row["gain"] for row in facts["summary"]["rows"] if row["gain"]]
    return made.get_template("report.html").render(
        f=facts,
        name=facts["run"].rstrip("/").rpartition("/")[2] or facts["run"],
        style=Markup((PAGE / "style.css").read_text()),
        script=Markup((PAGE / "script.js").read_text()),
        maximised=text.SHORT[measured.pop()] if len(measured) == 1 else "what was maximised",
        better=sum(gain["better"] for gain in gains),
        gained=bool(gains),
        forecasts=sum(gain["protocol"] in FORECASTS for gain in gains),
        cost_rows=cost_rows(facts),
    )


def cost_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"family": family, "machine": machine, "seconds": study["cost"]["seconds"], "best": study["best"]}
        for family, each in facts["families"].items()
        for machine, study in each["studies"].items()
        if study["cost"]["seconds"] and study["best"] is not None
    ]


def _readable(value: Any) -> Any:
    """Of what a browser would obey in a text, such as a change of its direction, the code is shown."""
    return visible(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def _known(value: Any) -> Any:
    """A number that the facts lack, as of an ensemble without metrics, is None."""
    return None if isinstance(value, StrictUndefined) else value
