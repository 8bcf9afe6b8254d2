from __future__ import annotations

import re
from pathlib import Path

from asd_ray.deploy.onnx.families import EXPORTERS, WHY_NOT
from asd_ray.detectors import FAMILIES

PAGE = Path(__file__).parents[3] / "docs" / "onnx.md"


def test_every_family_is_exported_or_has_a_reason() -> None:
    assert sorted([*EXPORTERS, *WHY_NOT]) == list(FAMILIES)
    assert len(FAMILIES) == 14
    assert not EXPORTERS.keys() & WHY_NOT.keys()


def test_the_table_of_the_page_agrees() -> None:
    table = PAGE.read_text().partition("| family | exported | notes |")[2].partition("\n\n")[0]
    rows = re.findall(r"(?m)^\| `(\w+)` \| (yes|no) \| (.+) \|$", table)
    assert [name for name, _, _ in rows] == list(FAMILIES)
    assert {name for name, answer, _ in rows if answer == "yes"} == set(EXPORTERS)
    assert {name: note for name, answer, note in rows if answer == "no"} == WHY_NOT
