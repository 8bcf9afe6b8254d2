"""The official score of a DCASE year from the long table of scores: cells, means, score and interval.

Where an official evaluator is known to be wrong, the right value is given and `bug_compatible` gives the official
one: the jackknife interval of 2022 and later (N-1 times too narrow), and the rows of 2021 and 2022 that are called a
machine's source and target harmonic mean (cut at half the number of machines, or of sections, instead of at the end
of the source sections).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.metrics.binary_labels import binary
from asd_ray.metrics.curve import MAX_FPR, auc, pauc
from asd_ray.metrics.decisions import detection
from asd_ray.metrics.editions import EDITIONS, Edition, scored_edition
from asd_ray.metrics.jackknife import Jackknife, jackknife
from asd_ray.metrics.means import amean, hmean

Entry = dict[str, Any]
COLUMNS = ("machine", "id", "domain", "clip", "label", "score")  # and, if there are decisions, decision
CI95 = (
    "half-width of the jackknife 95 % interval, mean of the AUC's and the pAUC's; AUC and pAUC of the scores of ALL "
    "machines pooled without normalisation, not of the official score"
)


@dataclass(frozen=True)
class Official:
    """What a year's evaluator prints for one system, in the shape of one system of a file asd-golden/1."""

    year: int
    machines: dict[str, Entry]
    summary: dict[str, Entry]  # stands beside `machines`: `overall`, or `derived_not_official` of a year without score

    @property
    def edition(self) -> Edition:
        return EDITIONS[self.year]

    @property
    def definition(self) -> str:
        return self.edition.definition or ""

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

    def cells(self, machine: str) -> dict[str, Entry]:
        """The cells of each id or section of a machine."""
        cells: dict[str, Entry] = self.machines[machine][_units(self.edition)]
        return cells

    def entry(self, source: str) -> Entry:
        return {"source": source, "kind": "submission", "machines": self.machines, **self.summary}


def official_score(table: pd.DataFrame, year: int, *, bug_compatible: bool = False) -> Official:
    """Score the long table (`COLUMNS`, optionally decision; one row per test clip) by the rules of `year`.

    Without the column decision, precision, recall and F1 are left out; no year's score needs them. The evaluator of
    2025 was not seen: it is scored as 2024, whose definition its baseline and its published description share.
    """
    edition = scored_edition(year)
    _check(table, edition)
    by_machine = {str(name): rows for name, rows in table.groupby("machine", sort=False)}
    if not edition.cells.domains:
        return _without_domains(by_machine, edition)
    names = sorted(by_machine)
    sections = {name: _cells_by_id(by_machine[name], edition) for name in names}
    cells = [cell for name in names for cell in sections[name].values()]
    cut = _wrong_cut(sections, edition) if bug_compatible else None
    machines = {
        name: {_units(edition): own, "means": _means(list(own.values()), cut, edition)}
        for name, own in sections.items()
    }
    overall = _means(cells, None, edition)
    if edition.official_score is not None:
        overall["official_score"] = edition.official_score(cells)
    if edition.prints_interval:
        overall |= _beside_the_score(cells, table, edition, bug_compatible)
    return Official(year, machines, {"overall": overall})


def _units(edition: Edition) -> str:
    return f"{edition.unit}s"


def _check(table: pd.DataFrame, edition: Edition) -> None:
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise AsdRayError(f"the table of scores lacks the column {missing[0]!r}; it needs: {', '.join(COLUMNS)}")
    if table.empty:
        raise AsdRayError("the table of scores is empty; give one row per test clip")
    not_finite = table[~np.isfinite(table["score"].to_numpy(dtype=np.float64))]
    if len(not_finite):
        first = not_finite.iloc[0]
        raise AsdRayError(f"scores must be finite, but {first['machine']} {first['clip']} has {first['score']}")
    repeated = table[table.duplicated(["machine", "id", "domain", "clip"])]
    if len(repeated):
        raise AsdRayError(
            f"{repeated.iloc[0]['machine']} {repeated.iloc[0]['clip']} is in the table of scores more than once"
        )
    domains = edition.cells.domains
    stray = sorted(set(table["domain"]) - set(domains), key=str) if domains else []
    if stray:
        known = " and ".join(domains)
        raise AsdRayError(f"{edition.year} knows the domains {known} but the table of scores has {stray[0]!r}")


def _without_domains(by_machine: dict[str, pd.DataFrame], edition: Edition) -> Official:
    """Arithmetic means only, and the official score if the year has one (2020 has none)."""
    machines: dict[str, Entry] = {}
    for name, rows in by_machine.items():
        own = _cells_by_id(rows, edition)
        average = {metric: amean([cell[metric] for cell in own.values()]) for metric in edition.cells.names}
        machines[name] = {_units(edition): own, "average": average}
    cells = [cell for entry in machines.values() for cell in entry[_units(edition)].values()]
    means = {f"mean_{name}_over_all_ids": amean([cell[name] for cell in cells]) for name in edition.cells.names}
    summary = {"derived_not_official": means}
    if edition.official_score is not None:
        summary["overall"] = {"official_score": edition.official_score(cells)}
    return Official(edition.year, machines, summary)


def _cells_by_id(rows: pd.DataFrame, edition: Edition) -> dict[str, Entry]:
    return {str(id): _cell_values(own, edition) for id, own in rows.groupby("id", sort=True)}


def _cell_values(rows: pd.DataFrame, edition: Edition) -> Entry:
    """The cells of one id of one machine, in the evaluator's order, and how many clips they are computed from."""
    where = f"{rows['machine'].iloc[0]} {edition.unit} {rows['id'].iloc[0]}"
    label, score, domain = _labels(rows, where), rows["score"].to_numpy(), rows["domain"].to_numpy()
    rule = edition.cells
    members = [np.ones(len(label), bool) if g.domain is None else domain == g.domain for g in rule.groups]
    entry: Entry = {"auc_all": auc(label, score)} if any(len(group.aucs) > 1 for group in rule.groups) else {}
    for group, own in zip(rule.groups, members, strict=True):
        for name, of_normals in group.aucs:
            ranked = own if of_normals is None else own & ((domain == of_normals) | (label == 1))
            if not (label[ranked] == 0).any() or not label[ranked].any():
                which = of_normals or group.domain
                raise AsdRayError(
                    f"{where} lacks normal or anomalous clips for its {which} AUC, which is then not defined"
                )
            entry[name] = auc(label[ranked], score[ranked])
    for group, own in zip(rule.groups, members, strict=True):
        entry[group.pauc] = pauc(label[own], score[own])
    by_domain = {f"_{name}": domain == name for name in rule.domains} or {"": np.ones(len(label), bool)}
    if edition.asks_for_decisions and "decision" in rows:
        entry |= _detection(label, rows["decision"].to_numpy(), by_domain)
    classes = {"normal": label == 0, "anomaly": label == 1}
    entry["counts"] = {
        f"{name}_{kind}".lstrip("_"): int((own & classes[kind]).sum())
        for name, own in zip(rule.domains or ("",), by_domain.values(), strict=True)
        for kind in classes
    }
    return entry


def _labels(rows: pd.DataFrame, where: str) -> npt.NDArray[np.int8]:
    label = binary(rows["label"].to_numpy())
    if label.min() == label.max():
        raise AsdRayError(f"{where} has only {'anomalous' if label[0] else 'normal'} clips; its AUC is not defined")
    return label


def _detection(
    label: npt.NDArray[np.int8], decision: npt.NDArray[Any], by_domain: dict[str, npt.NDArray[np.bool_]]
) -> Entry:
    values = {suffix: detection(label[own], decision[own])._asdict() for suffix, own in by_domain.items()}
    return {f"{m}{suffix}": values[suffix][m] for m in ("precision", "recall", "f1") for suffix in by_domain}


def _wrong_cut(sections: dict[str, dict[str, Entry]], edition: Edition) -> int | None:
    """Where the evaluator cuts the list [source sections, target sections]; None where it is right."""
    if edition.wrong_cut is None:
        return None
    return edition.wrong_cut(len(sections), len({id for own in sections.values() for id in own}))


def _means(cells: Sequence[Entry], cut: int | None, edition: Edition) -> Entry:
    """The four rows of means; source and target harmonic means split at `cut`, or where it is right if None."""
    domains = edition.cells.domains
    known = [
        m for m in ("auc", "pauc", "precision", "recall", "f1") if f"{m}_{domains[0]}" in cells[0] or m in cells[0]
    ]
    cut = len(cells) if cut is None else cut
    rows: Entry = {f"{kind}_mean": {} for kind in ("arithmetic", "harmonic", "source_harmonic", "target_harmonic")}
    for metric in known:
        values = [cell[f"{metric}_{d}" if f"{metric}_{d}" in cell else metric] for d in domains for cell in cells]
        rows["arithmetic_mean"][metric] = amean(values)
        rows["harmonic_mean"][metric] = hmean(values)
        rows["source_harmonic_mean"][metric] = hmean(values[:cut]) if values[:cut] else None
        rows["target_harmonic_mean"][metric] = hmean(values[cut:]) if values[cut:] else None
    return rows


def _beside_the_score(cells: Sequence[Entry], table: pd.DataFrame, edition: Edition, bug_compatible: bool) -> Entry:
    """The interval, the table of the year's paper and the jackknife that the evaluators print beside the score."""
    label, score = table["label"].to_numpy(), table["score"].to_numpy()
    of_auc, of_pauc = jackknife(label, score), jackknife(label, score, MAX_FPR)
    auc_ci95, pauc_ci95 = (_half_width(result, bug_compatible) for result in (of_auc, of_pauc))
    ci95 = {key: auc_ci95[key] for key in ("value", "evaluator_defect", "value_affected", "corrected")} | {
        key: amean([auc_ci95[key], pauc_ci95[key]]) for key in ("value", "corrected")
    }
    return {
        "official_score_ci95": {**ci95, "what": CI95},
        **({"paper_table": _paper_table(cells, edition)} if edition.prints_paper_table else {}),
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


def _paper_table(cells: Sequence[Entry], edition: Edition) -> Entry:
    columns = {name: [cell[name] for cell in cells] for name in edition.cells.names}
    columns["total"] = [value for column in columns.values() for value in column]
    return {name: {"h_mean": hmean(column), "a_mean": amean(column)} for name, column in columns.items()}


def _half_width(of: Jackknife, bug_compatible: bool) -> Entry:
    value = of.official_half_width if bug_compatible else of.half_width
    return {
        "value": value,
        "evaluator_defect": True,
        "value_affected": bug_compatible,
        "corrected": of.half_width,
    }
