"""The official score of a DCASE year from the long table of scores: cells, means, score and interval.

Where an official evaluator is known to be wrong, the right value is given and `bug_compatible` gives the official
one: the jackknife interval of 2022 on (N-1 times too narrow), and the rows of 2021 and 2022 that are called a
machine's source and target harmonic mean (cut at half the number of machines, or of sections, instead of at the end
of the source sections).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.metrics.cells import DOMAINS
from asd_ray.metrics.curve import MAX_FPR, auc, pauc
from asd_ray.metrics.decisions import detection
from asd_ray.metrics.jackknife import Jackknife, jackknife
from asd_ray.metrics.labels import binary
from asd_ray.metrics.means import amean, hmean
from asd_ray.metrics.years import DEFINITIONS, check_year

Entry = dict[str, Any]
COLUMNS = ("machine", "id", "domain", "clip", "label", "score")  # and, if there are decisions, decision
CI95 = (
    "half-width of the jackknife 95 % interval, mean of the AUC's and the pAUC's; AUC and pAUC of the scores of ALL "
    "machines pooled without normalisation, not of the official score"
)


@dataclass(frozen=True)
class Official:
    """What a year's evaluator says of one system, in the shape of one system of a file asd-golden/1."""

    year: int
    machines: dict[str, Entry]
    summary: dict[str, Entry]  # what stands beside `machines`: `overall`, in 2020 `derived_not_official`

    @property
    def definition(self) -> str:
        return DEFINITIONS[self.year]

    @property
    def score(self) -> float | None:
        """The official score; None in 2020, which has none."""
        score: float | None = self.summary.get("overall", {}).get("official_score")
        return score

    @property
    def interval(self) -> float | None:
        """The half-width printed beside the score; None before 2022."""
        half_width: float | None = self.summary.get("overall", {}).get("official_score_ci95", {}).get("value")
        return half_width

    def entry(self, source: str) -> Entry:
        return {"source": source, "kind": "submission", "machines": self.machines, **self.summary}


def official_score(table: pd.DataFrame, year: int, *, bug_compatible: bool = False) -> Official:
    """Score the long table (`COLUMNS`, optionally decision; one row a test clip) by the rules of `year`.

    Without the column decision, precision, recall and F1 are left out; no year's score needs them. The evaluator of
    2025 was not seen: it is scored as 2024, whose definition its baseline and its published description share.
    """
    check_year(year)
    _check(table, year)
    machines = {str(name): rows for name, rows in table.groupby("machine", sort=False)}
    if year == 2020:
        return _score_2020(machines)
    names = sorted(machines)
    sections = {name: _sections(machines[name], year) for name in names}
    wrong = _wrong_cut(year, sections) if bug_compatible else None
    cells = [cell for name in names for cell in sections[name].values()]
    overall = _means(cells, None)
    if year == 2021:
        overall["official_score"] = hmean([c[f"{m}_{d}"] for c in cells for m in ("auc", "pauc") for d in DOMAINS])
    else:
        overall |= _score_and_interval(cells, table, year, bug_compatible)
    made = {name: {"sections": sections[name], "means": _means(list(sections[name].values()), wrong)} for name in names}
    return Official(year, made, {"overall": overall})


def _check(table: pd.DataFrame, year: int) -> None:
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise AsdRayError(f"the table of scores lacks the column {missing[0]!r}; it needs: {', '.join(COLUMNS)}")
    if table.empty:
        raise AsdRayError("the table of scores is empty; give one row a test clip")
    odd = table[~np.isfinite(table["score"].to_numpy(dtype=np.float64))]
    if len(odd):
        first = odd.iloc[0]
        raise AsdRayError(f"scores must be finite, but {first['machine']} {first['clip']} has {first['score']}")
    twice = table[table.duplicated(["machine", "id", "domain", "clip"])]
    if len(twice):
        raise AsdRayError(f"{twice.iloc[0]['machine']} {twice.iloc[0]['clip']} stands in the table of scores twice")
    stray = [] if year == 2020 else sorted(set(table["domain"]) - set(DOMAINS), key=str)
    if stray:
        raise AsdRayError(f"{year} knows the domains source and target but the table of scores has {stray[0]!r}")


def _score_2020(machines: dict[str, pd.DataFrame]) -> Official:
    made: dict[str, Entry] = {}
    for name, rows in machines.items():
        ids: dict[str, Entry] = {}
        for each, its in rows.groupby("id", sort=True):
            label, score = _truth(its, f"{name} id {each}"), its["score"].to_numpy()
            counts = {"normal": int((label == 0).sum()), "anomaly": int(label.sum())}
            ids[str(each)] = {"auc": auc(label, score), "pauc": pauc(label, score), "counts": counts}
        average = {metric: amean([cell[metric] for cell in ids.values()]) for metric in ("auc", "pauc")}
        made[name] = {"ids": ids, "average": average}
    cells = [cell for machine in made.values() for cell in machine["ids"].values()]
    means = {f"mean_{metric}_over_all_ids": amean([cell[metric] for cell in cells]) for metric in ("auc", "pauc")}
    return Official(2020, made, {"derived_not_official": means})


def _truth(rows: pd.DataFrame, where: str) -> np.ndarray[Any, np.dtype[np.int8]]:
    label = binary(rows["label"].to_numpy())
    if label.min() == label.max():
        raise AsdRayError(f"{where} has only {'anomalous' if label[0] else 'normal'} clips; its AUC is not defined")
    return label


def _sections(rows: pd.DataFrame, year: int) -> dict[str, Entry]:
    return {str(each): _section(its, year) for each, its in rows.groupby("id", sort=True)}


def _section(rows: pd.DataFrame, year: int) -> Entry:
    where = f"{rows['machine'].iloc[0]} section {rows['id'].iloc[0]}"
    label, score, domain = _truth(rows, where), rows["score"].to_numpy(), rows["domain"].to_numpy()
    cell: Entry = {} if year == 2021 else {"auc_all": auc(label, score)}
    own = {name: domain == name for name in DOMAINS}
    for name in DOMAINS:
        rival = own[name] if year == 2021 else own[name] | (label == 1)
        if not (label[rival] == 0).any() or not label[rival].any():
            raise AsdRayError(f"{where} lacks normal or anomalous clips for its {name} AUC, which is then not defined")
        cell[f"auc_{name}"] = auc(label[rival], score[rival])
    if year == 2021:
        cell |= {f"pauc_{name}": pauc(label[own[name]], score[own[name]]) for name in DOMAINS}
    else:
        cell["pauc"] = pauc(label, score)
    if "decision" in rows:
        decision = rows["decision"].to_numpy()
        found = {name: detection(label[own[name]], decision[own[name]])._asdict() for name in DOMAINS}
        cell |= {
            f"{metric}_{name}": found[name][metric] for metric in ("precision", "recall", "f1") for name in DOMAINS
        }
    classes = {"normal": label == 0, "anomaly": label == 1}
    cell["counts"] = {f"{d}_{c}": int((own[d] & classes[c]).sum()) for d in DOMAINS for c in classes}
    return cell


def _wrong_cut(year: int, sections: dict[str, dict[str, Entry]]) -> int | None:
    """Where the evaluators of 2021 and 2022 cut the list [source sections, target sections]; None where right."""
    all_sections = {each for of_machine in sections.values() for each in of_machine}
    return {2021: len(sections) // 2, 2022: len(all_sections) // 2}.get(year)


def _means(cells: Sequence[Entry], cut: int | None) -> Entry:
    """The four rows of means; source and target harmonic means split at `cut`, which is right if None."""
    metrics = [m for m in ("auc", "pauc", "precision", "recall", "f1") if f"{m}_source" in cells[0] or m in cells[0]]
    cut = len(cells) if cut is None else cut
    rows: Entry = {f"{kind}_mean": {} for kind in ("arithmetic", "harmonic", "source_harmonic", "target_harmonic")}
    for metric in metrics:
        values = [cell[f"{metric}_{d}" if f"{metric}_{d}" in cell else metric] for d in DOMAINS for cell in cells]
        rows["arithmetic_mean"][metric] = amean(values)
        rows["harmonic_mean"][metric] = hmean(values)
        rows["source_harmonic_mean"][metric] = hmean(values[:cut]) if values[:cut] else None
        rows["target_harmonic_mean"][metric] = hmean(values[cut:]) if values[cut:] else None
    return rows


def _score_and_interval(cells: Sequence[Entry], table: pd.DataFrame, year: int, bug_compatible: bool) -> Entry:
    """The official score of 2022 on and what the evaluators print beside it."""
    columns = {name: [cell[name] for cell in cells] for name in ("auc_source", "auc_target", "pauc")}
    columns["total"] = [value for column in columns.values() for value in column]
    label, score = table["label"].to_numpy(), table["score"].to_numpy()
    of_auc, of_pauc = jackknife(label, score), jackknife(label, score, MAX_FPR)
    auc_ci95, pauc_ci95 = (_half_width(each, bug_compatible) for each in (of_auc, of_pauc))
    ci95 = {key: auc_ci95[key] for key in ("value", "evaluator_defect", "value_affected", "corrected")} | {
        key: amean([auc_ci95[key], pauc_ci95[key]]) for key in ("value", "corrected")
    }
    paper = {name: {"h_mean": hmean(column), "a_mean": amean(column)} for name, column in columns.items()}
    return {
        "official_score": hmean(columns["total"]),
        "official_score_ci95": {**ci95, "what": CI95},
        **({"paper_table": paper} if year > 2022 else {}),  # the evaluator of 2022 writes no such table
        "jackknife_pooled": {
            "n_clips": of_auc.clips,
            "auc": of_auc.theta,
            "pauc": of_pauc.theta,
            "auc_jackknife": of_auc.estimate,
            "pauc_jackknife": of_pauc.estimate,
            "auc_ci95": auc_ci95,
            "pauc_ci95": pauc_ci95,
        },
    }


def _half_width(of: Jackknife, bug_compatible: bool) -> Entry:
    value = of.official_half_width if bug_compatible else of.half_width
    return {
        "value": value,
        "evaluator_defect": True,
        "value_affected": bug_compatible,
        "corrected": of.half_width,
    }
