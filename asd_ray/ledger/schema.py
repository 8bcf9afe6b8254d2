"""The rows of the ledger: their columns, their rules, and their order."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from asd_ray.errors import AsdRayError, listing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SCHEMA_VERSION = 3  # the newest; a file is written as the oldest version that has its splits, for older readers
COLUMNS = ("clip", "id", "domain", "split", "label", "variant", "score")  # of the tables that users write and read
STORED = ("trial", *COLUMNS)  # with `trial`, for pandas or DuckDB over the whole folder
CLIP_COLUMNS = ("clip", "id", "domain", "label")
# split -> the version that brought it. Clips that no choice sees, normal clips with an injected fault, halves of normal
# clips.
LATER = {"unseen": 2, "fault": 2, "crop": 3}
SPLITS = ("train", "held_out", "test", *LATER)
DOMAINS = ("source", "target", "")
LABELS = ("normal", "anomaly", "unknown")


def long_scores(clips: pd.DataFrame, scores: dict[str, np.ndarray]) -> pd.DataFrame:
    """The long table of a detector's scores; `scores[variant]` is aligned with the rows of the clip table `clips`."""
    import numpy as np
    import pandas as pd

    parts = []
    for variant, values in scores.items():
        if np.shape(values) != (len(clips),):
            raise AsdRayError(
                f"variant {variant!r} has scores of shape {np.shape(values)} for {len(clips)} clips; "
                "a detector gives exactly one score per clip"
            )
        part = clips[["clip", "id", "domain", "split", "label"]].copy()
        part["variant"] = variant
        part["score"] = np.asarray(values, dtype=np.float32)
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def checked(scores: Any, who: str) -> dict[str, Any]:
    """The rows by split, as Arrow tables sorted by variant and clip. AsdRayError names all rules that are broken.

    `scores` is a DataFrame or an Arrow table with at least `COLUMNS`; `who` names the trial in messages.
    """
    import pyarrow.compute as pc

    table = _as_table(scores, who)
    problems = [*_wrong_words(table), *_not_finite(table)]
    by_split = {}
    for split in SPLITS:
        rows = table.filter(pc.equal(table["split"], split))
        if len(rows):
            rows = rows.sort_by([("variant", "ascending"), ("clip", "ascending")])
            problems += _duplicates(rows, split)
            by_split[split] = rows
    if problems:
        raise AsdRayError(f"the scores of {who} cannot be stored:\n{listing(problems)}")
    return by_split


def variant_runs(rows: Any) -> tuple[list[str], list[int]]:
    """The variants of rows sorted by variant, and how many rows each has."""
    import pyarrow.compute as pc

    encoded = pc.run_end_encode(rows["variant"].combine_chunks())
    ends = encoded.run_ends.to_pylist()
    return encoded.values.to_pylist(), [end - start for start, end in zip([0, *ends], ends, strict=False)]


def clips_digest(rows: Any) -> str:
    """A short hash of clip, id, domain and label in order. Scores with equal digests are aligned."""
    import pyarrow.compute as pc

    columns = [rows[name].cast("string") for name in CLIP_COLUMNS]
    lines = pc.binary_join_element_wise(*columns, "\x1f").to_pylist()
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=10).hexdigest()


def _as_table(scores: Any, who: str) -> Any:
    """The table with exactly COLUMNS, as plain strings and float32."""
    import pyarrow as pa

    names = list(scores.column_names if isinstance(scores, pa.Table) else scores.columns)
    if missing := [name for name in COLUMNS if name not in names]:
        raise AsdRayError(
            f"the scores of {who} lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"a ledger's rows are {', '.join(COLUMNS)}"
        )
    table = scores.select(COLUMNS) if isinstance(scores, pa.Table) else _from_frame(scores, who)
    problems = []
    for name, column in zip(COLUMNS, table.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if column.null_count:
            problems.append(f"{column.null_count} values of {name} are missing")
        elif len(column) and name == "score" and not number:
            problems.append(f"score is of type {kind}, not a number")
        elif len(column) and name != "score" and not text:
            problems.append(f"{name} is of type {kind}, not text; an id such as '00' must never become a number")
    if problems:
        raise AsdRayError(f"the scores of {who} cannot be stored:\n{listing(problems)}")
    return table.cast(pa.schema([(name, pa.float32() if name == "score" else pa.string()) for name in COLUMNS]))


def _from_frame(frame: pd.DataFrame, who: str) -> Any:
    import pyarrow as pa

    try:
        return pa.table({name: pa.array(frame[name], from_pandas=True) for name in COLUMNS})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:  # a column that mixes numbers and text
        raise AsdRayError(f"the scores of {who} cannot be stored: {error}; every column but score is text") from error


def _wrong_words(table: Any) -> list[str]:
    problems = []
    for name, known in (("domain", DOMAINS), ("split", SPLITS), ("label", LABELS)):
        wrong = sorted(set(table[name].unique().to_pylist()) - set(known))
        words = ", ".join(repr(word) for word in known)
        problems += [f"{name} {word!r} is not one of {words}" for word in wrong]
    empty = [name for name in ("clip", "id", "variant") if "" in table[name].unique().to_pylist()]
    return problems + [f"{name} is empty text" for name in empty]


def _not_finite(table: Any) -> list[str]:
    import pyarrow.compute as pc

    bad = table.filter(pc.invert(pc.is_finite(table["score"])))
    if not len(bad):
        return []
    first = bad.slice(0, 1).to_pylist()[0]
    return [
        f"{len(bad)} scores are not finite float32 numbers, first variant {first['variant']!r}, clip "
        f"{first['clip']!r}: {first['score']}; a detector must give one finite score per clip, higher = more anomalous"
    ]


def _duplicates(rows: Any, split: str) -> list[str]:
    import pyarrow.compute as pc

    if len(rows) < 2:
        return []
    same = [pc.equal(rows[name][1:], rows[name][:-1]) for name in ("variant", "clip")]
    twice = rows[1:].filter(pc.and_(*same))
    if not len(twice):
        return []
    first = twice.slice(0, 1).to_pylist()[0]
    return [
        f"{len(twice)} clips are repeated, first variant {first['variant']!r}, split {split}, clip {first['clip']!r}"
    ]
