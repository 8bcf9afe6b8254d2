from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from asd_ray.reporting import charts
from asd_ray.reporting.training_cost import pareto, training_cost


def row(trial: str, value: float | None, seconds: float | None, variant: str = "mse") -> dict[str, Any]:
    return {
        "trial": trial,
        "name": trial,
        "family": f"f{trial}",
        "variant": variant,
        "hmean": value,
        "seconds": seconds,
    }


def board(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"measured": True, "rows": list(rows)}


def test_a_trial_has_the_value_of_its_best_variant() -> None:
    facts = training_cost(board(row("a", 0.6, 5), row("a", 0.8, 5, "max"), row("b", 0.7, 9)), "hmean", ["a"], 0.8)
    assert facts is not None
    assert [(each["name"], each["value"]) for each in facts["rows"]] == [("a", 0.8), ("b", 0.7)]
    assert facts["ensemble"] == {"seconds": 5, "value": 0.8}


def test_the_cost_of_an_ensemble_counts_each_trial_once() -> None:
    facts = training_cost(board(row("a", 0.6, 5), row("b", 0.7, 9)), "hmean", ["a", "b", "a"], 0.9)
    assert facts is not None
    assert facts["ensemble"] == {"seconds": 14, "value": 0.9}


def test_imported_systems_have_no_cost() -> None:
    assert training_cost(board(row("a", 0.6, None), row("b", 0.7, None)), "hmean", ["a"], 0.6) is None
    facts = training_cost(board(row("a", 0.6, 1), row("b", 0.7, 2), row("c", 0.9, None)), "hmean", ["c"], 0.9)
    assert facts is not None
    assert facts["ensemble"] is None


def test_without_anomalies_the_value_is_that_on_injected_faults() -> None:
    rows = [row("a", None, 1) | {"faults": 0.7}, row("b", None, 2) | {"faults": 0.8}]
    facts = training_cost({"measured": False, "rows": rows}, "hmean", ["b"], 0.8)
    assert facts is not None
    assert (facts["measure"], [each["value"] for each in facts["rows"]]) == ("faults", [0.7, 0.8])


@pytest.mark.parametrize("seed", range(3))
def test_nothing_on_the_front_is_beaten_and_everything_else_is(seed: int) -> None:
    points = [tuple(each) for each in np.random.default_rng(seed).integers(1, 9, (30, 2)).astype(float)]
    front = pareto(points)

    def is_beaten(at: int) -> bool:
        cost, value = points[at]
        return any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)

    assert not any(is_beaten(at) for at in front)
    others = [at for at in range(30) if at not in front]
    assert all(is_beaten(at) or points[at] in [points[each] for each in front] for at in others)
    assert front == sorted(front, key=lambda at: points[at])


def test_the_picture_names_the_front_and_has_a_tip_for_each_trial() -> None:
    facts = training_cost(board(row("a", 0.6, 5), row("b", 0.5, 9), row("c", 0.9, 300)), "hmean", ["c"], 0.9)
    root = ET.fromstring(charts.training_cost(facts or {}, "hmean (oracle)"))
    words = [each.text or "" for each in root.iter("text")]
    assert sum("fa" in each for each in words) == sum("fc" in each for each in words) == 1
    assert not any("fb" in each for each in words)
    (points,) = (each for each in root if "data-tips" in each.attrib)
    assert points.attrib["data-tips"].split("\n") == [
        "a (fa): 0.6000 in 5.0 s",
        "b (fb): 0.5000 in 9.0 s",
        "c (fc): 0.9000 in 5.0 min",
    ]
