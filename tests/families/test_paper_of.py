"""PAPER_OF: settings of a paper that depend on the machine and on the year of the dataset's edition."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from asd_ray.errors import AsdRayError
from asd_ray.families import FAMILIES, Family, Space, family
from asd_ray.families.drawing import first_draw, paper_draw, redraw
from asd_ray.families.fixed import fixed_by_family
from asd_ray.papers import find

PAPER = {"net": "small", "depth": 4, "lr": 0.001, "epochs": 100}
PAPER_OF = {2022: {"fan": {"net": "large", "depth": 8}, "pump": {"lr": 0.01}}, 2020: {"fan": {"lr": 0.0001}}}


def draw_some(trial: Any) -> dict[str, Any]:
    """The depth matters for the large net only."""
    net = trial.suggest_categorical("net", ["small", "large"])
    depth = {"depth": trial.suggest_int("depth", 2, 16)} if net == "large" else {}
    return {"net": net, **depth, "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}


SPACE = Space("mine.py", PAPER, draw_some, paper_of=PAPER_OF)


@pytest.mark.parametrize(
    ("machines", "year", "differing"),
    [
        (["fan"], 2022, {"net": "large", "depth": 8}),
        (["pump"], 2022, {"lr": 0.01}),
        (["fan"], 2020, {"lr": 0.0001}),
        (["valve"], 2022, {}),
        (["fan"], 2021, {}),
        (["fan"], None, {}),
        (["fan", "pump"], 2022, {}),
    ],
)
def test_the_first_draw_of_a_study_is_the_papers_on_its_machine(
    machines: list[str], year: int | None, differing: dict[str, Any]
) -> None:
    space = SPACE.on(machines, year)
    assert first_draw(space).params == space.setting == {**PAPER, **differing}
    assert space.on(["valve"], 2022).setting == PAPER


def test_other_draws_of_a_machine_are_those_of_the_plain_space() -> None:
    space = SPACE.on(["fan"], 2022)
    assert redraw(space, PAPER) == redraw(SPACE, PAPER)
    assert redraw(space, {**PAPER, "net": "small", "depth": 8}) is None  # PAPER has the depth of a small net
    small = first_draw(Space("mine.py", PAPER, draw_some, {"net": "small"}, PAPER_OF).on(["fan"], 2022))
    assert small.params == PAPER


def test_a_fixed_value_replaces_those_of_paper_and_paper_of() -> None:
    fixed = fixed_by_family({"depth": 2, "epochs": 5}, {"mine": SPACE})["mine"]
    space = Space("mine.py", PAPER, draw_some, fixed, PAPER_OF)
    assert first_draw(space.on(["fan"], 2022)).params == {**PAPER, "net": "large", "depth": 2, "epochs": 5}
    assert first_draw(space.on(["pump"], 2022)).params == {**PAPER, "lr": 0.01, "depth": 2, "epochs": 5}


def test_a_fixed_value_that_does_not_suit_paper_of_is_an_error_which_names_it() -> None:
    def narrow(trial: Any) -> dict[str, Any]:
        net = trial.suggest_categorical("net", ["small", "large"])
        return {"net": net, "depth": trial.suggest_int("depth", 4, 16 if net == "large" else 6)}

    space = Space("mine.py", PAPER, narrow, {"net": "small"}, PAPER_OF)
    assert first_draw(space).params == PAPER
    with pytest.raises(AsdRayError) as raised:
        first_draw(space.on(["fan"], 2022))
    assert str(raised.value) == (
        "with --set net='small': mine.py: PAPER_OF[2022]['fan']['depth'] = 8 is out of the range 4 … 6 of space(); "
        "widen it; or give this parameter a value by --set, too"
    )


GOOD = """
PAPER = {"r": 1.0, "components": 2, "reg": 1e-6}
PAPER_OF = {2022: {"fan": {"r": 0.5}}}


def space(trial):
    return {"r": trial.suggest_float("r", 0.0, 1.0), "components": trial.suggest_categorical("components", [1, 2])}
"""
OF_FAN = "PAPER_OF[2022]['fan']"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[2022]", "PAPER_OF is [2022] and must be a dictionary; write PAPER_OF = {2022: "),
        ("{22: {}}", "PAPER_OF has the key 22, which must be the year of an edition of DCASE Task 2, 2020 or later"),
        ('{"2022": {}}', "PAPER_OF has the key '2022', which must be the year"),
        ("{True: {}}", "PAPER_OF has the key True, which must be the year"),
        ('{2022: ["fan"]}', "PAPER_OF[2022] is ['fan'] and must be a dictionary"),
        ("{2022: {1: {}}}", "PAPER_OF[2022] has the key 1, no name of a machine"),
        ('{2022: {"fan": 0.5}}', f"{OF_FAN} is 0.5 and must be a dictionary"),
        ('{2022: {"fan": {"depth": 3}}}', f"{OF_FAN} has 'depth', which PAPER does not have; add it there"),
        ('{2022: {"fan": {2: 3}}}', f"{OF_FAN} has the name 2; names of parameters are text"),
        ('{2022: {"fan": {"r": 2.0}}}', f"{OF_FAN}['r'] = 2 is out of the range 0 … 1 of space(); widen it"),
        ('{2022: {"fan": {"components": 4}}}', f"{OF_FAN}['components'] = 4 is none of 1, 2; add it to them"),
        ('{2022: {"fan": {"r": 1}}}', f"{OF_FAN}['r'] = 1 is of another type than 1.0 in PAPER; write it as there"),
        ('{2022: {"fan": {"r": [0.5]}}}', f"{OF_FAN} has 'r' = [0.5]; a parameter is a finite number"),
        ('{2022: {"fan": {"reg": 1e-5}}}', f"{OF_FAN} has 'reg', which space() does not suggest there; suggest it"),
    ],
)
def test_a_wrong_paper_of_is_refused(tmp_path: Path, given: str, message: str) -> None:
    path, gmm = tmp_path / "own.py", family("twfr_gmm")
    path.write_text(GOOD)
    paper_draw(gmm.search_space(path), gmm)
    path.write_text(GOOD.replace('{2022: {"fan": {"r": 0.5}}}', given))
    with pytest.raises(AsdRayError, match=f"^{re.escape(f'{path}: {message}')}"):
        paper_draw(gmm.search_space(path), gmm)


def test_a_space_that_changes_the_papers_value_of_a_machine_is_refused() -> None:
    def halved(trial: Any) -> dict[str, Any]:
        r = trial.suggest_float("r", 0.0, 1.0)
        return {"r": r if r == 1.0 else r / 2}

    gmm = Family("twfr_gmm", FAMILIES["twfr_gmm"])
    space = Space("own.py", {"r": 1.0}, halved, paper_of={2022: {"fan": {"r": 0.5}}})
    with pytest.raises(AsdRayError, match=re.escape(f"with the values of {OF_FAN} space() returns another 'r'")):
        paper_draw(space, gmm)


def test_a_users_class_may_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "\n".join(f"    {line}" for line in GOOD.replace("def space", "@staticmethod\ndef space").splitlines())
    for name, text in (("of_class", f"class Own:\n{body}\n"), ("of_module", f"{GOOD}\nclass Own:\n    pass\n")):
        (tmp_path / f"paper_{name}.py").write_text(
            f"{text}    RESOURCES = None\n    fit = score = state = load = print\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        assert family(f"paper_{name}:Own").search_space().paper_of == {2022: {"fan": {"r": 0.5}}}


def test_every_shipped_one_can_be_drawn() -> None:
    having = []
    for name in FAMILIES:
        own = family(name)
        paper_draw(own.search_space(), own)
        having += [name] * bool(own.search_space().paper_of)
    assert having == ["aegan_ad"]


def test_aegan_ad_has_the_authors_configurations_of_2022_as_its_published_row_has() -> None:
    space, table = family("aegan_ad").search_space(), find("jiang2023").table("1")
    (member,) = table.row("Ours").members
    for machine in table.machines:
        assert space.on([machine], 2022).differing == member.params_on(machine)
    assert {name for name, own in space.paper_of[2022].items() if own} == set(table.machines) - {"slider"}


def test_aegan_ad_has_the_authors_configurations_of_2020_as_its_published_row_has() -> None:
    of_2020 = family("aegan_ad").search_space().paper_of[2020]
    table = find("jiang2023").table("README")
    (member,) = table.row("AEGAN-AD").members
    assert of_2020 == {machine: member.params_on(machine) for machine in table.machines}
    assert set(of_2020) == {"fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor"}
    for machine, own in of_2020.items():
        assert own["epochs"] == 50
        assert own["eta"] == (0.05 if machine in ("ToyConveyor", "valve") else 1.0)
        assert own.get("matching") == ("mean_std" if machine in ("pump", "ToyCar") else None)
        assert own.get("norm") == ("batch" if machine in ("slider", "valve") else None)
        assert own.keys() <= {"epochs", "eta", "matching", "norm"}
