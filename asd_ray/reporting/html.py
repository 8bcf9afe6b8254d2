"""The report as one page. It needs no other file and no network, and every name is escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from asd_ray._numbers import count
from asd_ray._terminal import typed, visible
from asd_ray.ensembling import protocols
from asd_ray.ensembling.unmeasured import NOT_MEASURED
from asd_ray.ledger.record import NORMAL_ONLY
from asd_ray.ledger.units import MEANING
from asd_ray.reporting import charts, text
from asd_ray.reporting.clip_scores import alarms
from asd_ray.reporting.importances import EVALUATOR
from asd_ray.reporting.leaderboard import differing, setting_of
from asd_ray.reporting.machine import beside_headline, picked_of
from asd_ray.reporting.media import Media
from asd_ray.reporting.members import extremes
from asd_ray.reporting.overview import can_be_timed, choose_again, no_cost, weights_to_bring
from asd_ray.reporting.svg import colour
from asd_ray.reporting.terms import Terms
from asd_ray.storage.run_layout import RunLayout

GENERATOR = "asd_ray report"  # marks our page, so that no other report.html is replaced
PAGE = Path(__file__).parent / "page"
STYLES = ("style.css", "charts.css", "words.css")
SCRIPTS = ("script.js", "tips.js", "threshold.js")
MOST = 200  # rows of a leaderboard on the page; its CSV has all of them


def environment() -> Environment:
    """What renders every page: names are escaped, a variable that is missing is an error, and numbers are alike."""
    found = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_readable,
        extensions=["jinja2.ext.loopcontrols"],
    )
    found.filters |= {
        "options": options,
        "number": lambda value, digits=4: text.number(_known(value), digits),
        "signed": lambda value, digits=4: text.signed(_known(value), digits),
        "span": lambda value, plus=False: text.span(_known(value), plus=plus),
        "percent": text.percent,
        "cell": text.cell,
        "short": text.short,
        "seconds": text.seconds,
        "settings": text.settings,
        "counted": count,
        "scores_only": lambda parts: [
            {label: own["scores"] for label, own in part["labels"].items()} for part in parts
        ],
    }
    return found


def page(facts: Mapping[str, Any], media: Media | None = None) -> str:
    """The page; with `media` the clips that are most often wrong have their sounds and pictures."""
    of_report = environment()
    maximised = {row["maximise"] for row in facts["summary"]["rows"]}
    forecasting = [name for name in protocols.HEADLINE if protocols.find(name).forecasts]
    of_report.globals |= {
        "alarms": alarms,
        "charts": charts,
        "colour": colour,
        "differences": differing,
        "evaluator": EVALUATOR,
        "extremes": extremes,
        "measures": text.MEASURES,
        "most": MOST,
        "beside_headline": beside_headline,
        "can_be_timed": can_be_timed,
        "no_cost": no_cost,
        "weights_to_bring": weights_to_bring,
        "choose_again": choose_again,
        "forecast_protocols": forecasting,
        "setting_of": setting_of,
        "picked_of": picked_of,
        "sentences": {protocol.name: protocol.sentence for protocol in protocols.every()},
        "generator": GENERATOR,
        "short_names": text.SHORT,
        "detector": text.detector,
        "term": Terms(),
        "trained": text.trained,
        "typed": typed,
        "not_measured": NOT_MEASURED,
        "meaning": MEANING[NORMAL_ONLY],
    }
    gains = [row["gain"] for row in facts["summary"]["rows"] if row["gain"]]
    return of_report.get_template("report.html").render(
        f=facts,
        media=media,
        name=RunLayout(facts["run"]).name,
        style=together(STYLES),
        script=together(SCRIPTS),
        maximised=text.SHORT[maximised.pop()] if len(maximised) == 1 else "the maximised measure",
        better=sum(gain["better"] for gain in gains),
        gained=bool(gains),
        forecasts=sum(gain["protocol"] in forecasting for gain in gains),
        cost_rows=cost_rows(facts),
        not_measured=text.not_measured(row["not_measured"] for row in facts["summary"]["rows"] if not row["measured"]),
        unmeasured=[row["machine"] for row in facts["summary"]["rows"] if not row["measured"]],
    )


def options(sentence: str) -> Markup:
    """The sentence or command with each option in a mark: no line break divides it."""
    return Markup("").join(
        Markup('<span class="option">{}</span>').format(part) if at % 2 else part
        for at, part in enumerate(re.split(r"(--[a-z][a-z-]*)", visible(sentence, lines=True)))
    )


def together(names: Sequence[str]) -> Markup:
    """The files of these names, one after the other."""
    return Markup("\n".join((PAGE / name).read_text() for name in names))


def cost_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "family": family,
            "machine": machine,
            "unit": study["unit"],
            "seconds": study["cost"]["seconds"],
            "best": study["best"],
        }
        for family, own in facts["families"].items()
        for machine, study in own["studies"].items()
        if study["cost"]["seconds"] and study["best"] is not None
    ]


def _readable(value: Any) -> Any:
    """Show characters that control a browser, such as a change of direction, as their codes."""
    return visible(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def _known(value: Any) -> Any:
    """The value, or None if the facts lack it, as for an ensemble without metrics."""
    return None if isinstance(value, StrictUndefined) else value
