from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import long_scores
from asd_ray.ledger.schema import COLUMNS, checked, clips_digest, variant_runs

Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def table(clips) -> pd.DataFrame:
    return long_scores(clips(), {"mse": np.arange(8.0), "mahala": -np.arange(8.0)})


def put(column: str, row: int, value: object) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[row, column] = value
        return table if column != "score" else table.astype({column: float})

    return change


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (lambda t: t.drop(columns=["domain"]), ["lack the column domain"]),
        (lambda t: t[["clip", "score"]], ["lack the columns id, domain, split, label, variant"]),
        (put("score", 3, np.nan), ["1 values of score are missing"]),
        (put("score", 3, np.inf), ["variant 'mse', clip 'anomaly_id_01_00000003.wav': inf", "higher = more anomalous"]),
        (put("score", 9, 1e39), ["1 scores are not finite float32", "variant 'mahala'"]),
        (put("clip", 3, None), ["1 values of clip are missing"]),
        (put("clip", 3, ""), ["clip is empty text"]),
        (put("split", 3, "eval"), ["split 'eval' is not one of 'train', 'held_out', 'test'"]),
        (put("domain", 3, "office"), ["domain 'office' is not one of"]),
        (put("label", 3, "abnormal"), ["label 'abnormal' is not one of"]),
        (put("clip", 2, "normal_id_00_00000000.wav"), ["1 clips are repeated", "variant 'mse'", "split test"]),
        (lambda t: t.assign(id=t["id"].astype(int)), ["id is of type int64", "must never become a number"]),
        (lambda t: t.assign(score="high"), ["score is of type"]),
        (put("id", 3, 3), ["every column but score is text"]),
        (
            lambda t: put("label", 1, "bad")(put("domain", 1, "bad")(t)),
            ["domain 'bad' is not", "label 'bad' is not"],
        ),
    ],
)
def test_broken_rules_are_named_with_trial_and_place(table: pd.DataFrame, change: Change, messages: list[str]) -> None:
    with pytest.raises(AsdRayError) as refused:
        checked(change(table), "fan-ae-0007")
    for message in ["fan-ae-0007", *messages]:
        assert message in str(refused.value)


@pytest.mark.parametrize("form", ["frame", "categories", "arrow"])
def test_rows_are_stored_by_split_variant_and_clip_whatever_their_order_and_form(
    table: pd.DataFrame, clips, form: str
) -> None:
    train = long_scores(clips(4, "train"), {"mse": np.ones(4)})
    shuffled = pd.concat([table, train]).sample(frac=1, random_state=1)
    given: object = shuffled
    if form == "categories":
        given = shuffled.astype({name: "category" for name in COLUMNS if name != "score"})
    elif form == "arrow":
        given = pa.Table.from_pandas(shuffled, preserve_index=False)
    by_split = checked(given, "x")
    assert list(by_split) == ["train", "test"]
    assert variant_runs(by_split["test"]) == (["mahala", "mse"], [8, 8])
    stored = by_split["test"].to_pandas()
    assert stored["clip"][:8].tolist() == sorted(table["clip"].unique())
    merged = stored.merge(table, on=["clip", "variant"])
    assert (merged["score_x"] == merged["score_y"]).all()
    assert len(merged) == 16


def test_clips_digest_sees_every_fact_of_a_clip_and_no_score(table: pd.DataFrame) -> None:
    def digest(changed: pd.DataFrame) -> str:
        return clips_digest(checked(changed[changed["variant"] == "mse"], "x")["test"])

    same = digest(table)
    assert digest(table.assign(score=7.0).sample(frac=1, random_state=2)) == same
    others = [table.assign(**{name: value}) for name, value in (("id", "09"), ("domain", ""), ("label", "unknown"))]
    assert len({same, digest(table[table["clip"] != table["clip"][0]]), *map(digest, others)}) == 5


def test_a_score_for_each_clip_or_an_error(clips) -> None:
    with pytest.raises(AsdRayError, match=r"'mse' has scores of shape \(7,\) for 8 clips"):
        long_scores(clips(), {"mse": np.ones(7)})
