from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray._shipped import shipped
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.ensembling.recipe_file import find_recipe, read_recipe, shipped_recipes
from asd_ray.ensembling.slots import fits
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError
from asd_ray.ledger.later_params import all_params
from asd_ray.ledger.paper_variants import PAPER_VARIANTS

SHIPPED = {
    "aegan_best_score": "aegan_best_score",
    "best_per_family": "best_per_family.mean best_per_family.max",
    "best_single": "best_single",
    "giri_system_1": "giri_system_1.mean giri_system_1.max",
    "giri_system_2": "giri_system_2.mean giri_system_2.max",
    "giri_system_3": "giri_system_3.mean giri_system_3.max",
    "giri_system_4": "giri_system_4",
    "greedy": "greedy.mean greedy.max",
    "label_free": "label_free.mean label_free.min",
    "label_free_best": "label_free_best",
    "label_free_consensus": "label_free_consensus",
    "label_free_greedy": "label_free_greedy",
    "label_free_top_k": "label_free_top_k",
    "smooth_weights": "smooth_weights",
    "top_k": "top_k.mean top_k.max",
}


def test_every_recipe_that_is_shipped_is_known_here() -> None:
    assert shipped_recipes() == sorted(SHIPPED)
    assert len(SHIPPED) == 15


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_recipe_can_be_read_and_stored(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.name == name
    ways = recipe.ways()
    assert " ".join(way.name for way in ways) == SHIPPED[name]
    assert all(len(way.combine) == 1 for way in ways)
    for way in ways:
        assert Recipe.from_json(json.loads(json.dumps(way.to_json()))) == way


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_recipe_begins_with_what_it_is(name: str) -> None:
    text = (shipped("ensembles") / f"{name}.toml").read_text()
    assert text.startswith("# ")
    if "giri" in name or "aegan" in name or name == "greedy":
        assert "20" in text.partition("select")[0]  # the paper's year


def test_what_the_papers_systems_are_made_of() -> None:
    nets = {name: [dict(slot.params).get("net", slot.family) for slot in find_recipe(name).slots] for name in SHIPPED}
    assert nets["giri_system_1"] == ["mobilenet_v2", "resnet50", "group_made"]
    assert nets["giri_system_2"] == ["mobilenet_v2", "group_made"]
    assert nets["giri_system_4"] == ["group_made"]
    assert [slot.params.get("head") for slot in find_recipe("giri_system_3").slots] == ["softmax", "arcface", None]
    assert all(find_recipe(f"giri_system_{n}").by == "train" for n in range(1, 5))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_giris_systems_take_what_the_report_fixes(number: int) -> None:
    """Their parameters are those of PAPER, without what the report leaves open; a slot refuses other ones."""
    recipe = find_recipe(f"giri_system_{number}")
    assert recipe.standardise == Standardiser("z", "id", floor=0.0)
    for slot in recipe.slots:
        paper = runpy.run_path(str(shipped("search_spaces") / f"{slot.family}.py"))["PAPER"]
        every = all_params(slot.family, paper)
        assert slot.variants == PAPER_VARIANTS[slot.family]
        assert not {"batch_size", "epochs", "scale", "margin", "mix", "warps", "warp"} & set(slot.params)
        assert {**every, **slot.params, "net": 0, "head": 0} == {**every, "net": 0, "head": 0}
        classifier = slot.family == "id_classifier"
        assert (slot.size, slot.distinct) == ((3, ("mix", "warps", "warp")) if classifier else (1, ()))
        fitting = {name: value for name, value in {**every, **slot.params}.items() if name in paper}  # as it is stored
        drawn = {"labels": "kmeans", "supplemental_class": True} if classifier else {}
        others = [{**fitting, name: value} for name, value in {**dict.fromkeys(slot.params, "other"), **drawn}.items()]
        table = pd.DataFrame(
            {
                "family": slot.family,
                "variant": [*slot.variants, "middle", *slot.variants * len(others)],
                "params": [fitting, fitting, *others],
            }
        )
        assert np.flatnonzero(fits(slot, table)).tolist() == [0]


def test_what_earlier_versions_did_not_store_is_left_out() -> None:
    """So that the checksums of their files stay."""
    assert Slot("idnn", ("mse",), {"lr": 1}).to_json() == {"family": "idnn", "variants": ["mse"], "params": {"lr": 1}}
    every = Slot("idnn", size=2, distinct=("lr",), paper=True)
    assert every.to_json() == {
        **{"family": "idnn", "variants": [], "params": {}},
        **{"size": 2, "distinct": ["lr"], "paper": True},
    }
    assert Slot.from_json(every.to_json()) == every


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def test_a_users_own_file_works_alike(mine: Path) -> None:
    mine.write_text(
        'select = "slots"\ncombine = "median"\nby = "train"\n'
        '[standardise]\nhow = "robust"\nper = "id_domain"\nfloor = 0\n'
        '[[slots]]\nfamily = "idnn"\nvariants = ["mse"]\nparams = { frames = 5 }\n'
        'size = 2\ndistinct = ["lr", "mix"]\npaper = true\n'
    )
    result = find_recipe(str(mine))
    assert result == Recipe(
        "mine",
        "slots",
        ("median",),
        (Slot("idnn", ("mse",), {"frames": 5}, 2, ("lr", "mix"), paper=True),),
        by="train",
        standardise=Standardiser("robust", "id_domain", 0),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select = ", "this is no TOML"),
        (
            "",
            "select is missing; give one of best, slots, best_per_family, top_k, greedy, smooth_weights, optuna_w",
        ),
        ('select = "gredy"', "unknown way to select 'gredy'; did you mean 'greedy'?"),
        ('select = "greedy"\nsise = 5', "unknown field 'sise'; did you mean 'size'?"),
        ('select = "greedy"\nname = "x"', "unknown field 'name'"),
        ('select = "greedy"\nsize = "5"', "size must be a whole number but is '5'"),
        ('select = "greedy"\nsize = 2.5', "size must be a whole number but is 2.5"),
        ('select = "greedy"\nbags = true', "bags must be a whole number but is True"),
        ('select = "greedy"\nbags = 0', "bags must be at least 1 but got 0"),
        ('select = "greedy"\nfraction = 0', "fraction must be in (0, 1] but got 0"),
        ('select = "greedy"\nfraction = "x"', "fraction must be a whole number or a number but is 'x'"),
        ('select = "greedy"\ncombine = "median"', "greedy selection combines by mean or max but got 'median'"),
        ('select = "top_k"\ncombine = "maxi"', "unknown way to combine 'maxi'; did you mean 'max'?"),
        ('select = "top_k"\ncombine = []', "combine must name one way or more"),
        ('select = "top_k"\ncombine = [1]', 'combine must be texts such as ["mean", "max"] but is [1]'),
        ('select = "top_k"\nk = 0', "k must be at least 1 but got 0"),
        ('select = "optuna_weights"\ncombine = "max"', "optuna_weights finds the weights of a mean"),
        ('select = "smooth_weights"\ncombine = "max"', "smooth_weights finds the weights of a mean"),
        ('select = "best"\nby = "heldout"', "unknown split to standardise by 'heldout'; did you mean 'held_out'?"),
        ('select = "slots"', 'select = "slots" needs [[slots]] with a family each'),
        ('select = "slots"\nslots = ["idnn"]', "a slot needs a family but is 'idnn'; write [[slots]]"),
        ('select = "slots"\n[[slots]]\nfamly = "idnn"', "a slot needs a family but is {'famly': 'idnn'}"),
        ('select = "slots"\n[[slots]]\nfamily = "idnn"\nvariant = "a"', "unknown field of a slot 'variant'; did you"),
        ('select = "slots"\n[[slots]]\nfamily = "idnn"\nvariants = "mse"', "variants of a slot must be a list but is"),
        ('select = "slots"\n[[slots]]\nfamily = "idnn"\nvariants = [1]', 'must be texts such as ["mse"] but are [1]'),
        ('select = "slots"\n[[slots]]\nfamily = "idnn"\nparams = 3', "params of a slot must be a table but is 3"),
        ('select = "label_free"\nvariants = ["mse"]', "variants must be text but is ['mse']"),
        ('select = "label_free"\nvariants = "own"', "unknown choice of variants 'own'"),
        ('select = "best"\nstandardise = "z"', "standardise must be a table but is 'z'"),
        ('select = "best"\n[standardise]\nhw = "z"', "unknown field of standardise 'hw'; did you mean 'how'?"),
        ('select = "best"\n[standardise]\nhow = "zed"', "unknown way to standardise 'zed'"),
        ('select = "best"\n[standardise]\nhow = 3', "how of standardise must be text but is 3"),
        ('select = "best"\n[standardise]\nfloor = "x"', "floor of standardise must be a whole number or a number but"),
        ('select = "best"\n[standardise]\nfloor = 7', "floor of a standardiser must be in [0, 1] but got 7"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_path(mine: Path, text: str, message: str) -> None:
    mine.write_text(text)
    with pytest.raises(AsdRayError) as raised:
        read_recipe(mine)
    assert str(raised.value).startswith(f"{mine}: ")
    assert message in str(raised.value)


def test_all_problems_of_a_file_come_at_once(mine: Path) -> None:
    mine.write_text('size = "many"\nbag = 3\n[standardise]\nhw = 1\n')
    with pytest.raises(AsdRayError) as raised:
        read_recipe(mine)
    assert len(str(raised.value).splitlines()) == 4


def test_an_unknown_recipe_has_a_guess() -> None:
    with pytest.raises(AsdRayError, match=r"unknown recipe 'gredy'; did you mean 'greedy'\? .*; or name a file"):
        find_recipe("gredy")


def test_a_file_that_is_not_there_is_named(mine: Path) -> None:
    with pytest.raises(AsdRayError, match=r"mine.toml: no such file; shipped recipes: aegan_best_score, "):
        find_recipe(str(mine))
    with pytest.raises(AsdRayError, match="no such file"):
        find_recipe(f"{mine.parent}/")
