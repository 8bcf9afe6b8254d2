"""Years without golden data, computed again here with scikit-learn and scipy alone."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from asd_ray.errors import AsdRayError
from asd_ray.metrics import official_score

DOMAINS = ("source", "target")
LATE = (2022, 2024, 2025)


def floored(values):
    return stats.hmean(np.maximum(values, np.finfo(float).eps))


def area(clips, **options):
    return roc_auc_score(clips["label"], clips["score"], **options)


def own(clips, domain):
    return clips[clips["domain"] == domain]


def rows_by_machine(table, year):
    """machine -> metric -> values [source sections, target sections], as the evaluators lay them out."""
    out = {}
    for machine, clips in table.groupby("machine"):
        rows = {name: [] for name in ("auc", "pauc", "precision", "recall", "f1")}
        for domain in DOMAINS:
            for _, section in clips.groupby("id"):
                mine = own(section, domain)
                rival = mine if year == 2021 else section[(section["domain"] == domain) | (section["label"] == 1)]
                rows["auc"].append(area(rival))
                rows["pauc"].append(area(mine if year == 2021 else section, max_fpr=0.1))
                truth = (mine["label"], mine["decision"])
                rows["precision"].append(precision_score(*truth, zero_division=0))
                rows["recall"].append(recall_score(*truth, zero_division=0))
                rows["f1"].append(f1_score(*truth, zero_division=0))
        out[machine] = rows
    return out


@pytest.mark.parametrize("year", [2021, *LATE])
def test_cells_and_means_follow_the_definition(world, year):
    table = world(year).table
    expected = rows_by_machine(table, year)
    ours = official_score(table.sample(frac=1, random_state=1), year)
    assert list(ours.machines) == sorted(expected)
    for machine, rows in expected.items():
        entry = ours.machines[machine]
        sections = len(entry["sections"])
        for metric, values in rows.items():
            by_domain = metric != "pauc" or year == 2021
            for place, (id, domain) in enumerate((e, d) for d in DOMAINS for e in sorted(entry["sections"])):
                key = f"{metric}_{domain}" if by_domain else metric
                assert entry["sections"][id][key] == pytest.approx(values[place], abs=1e-12), (machine, id, key)
            means = entry["means"]
            assert means["arithmetic_mean"][metric] == pytest.approx(np.mean(values), abs=1e-12)
            assert means["harmonic_mean"][metric] == pytest.approx(floored(values), abs=1e-12)
            assert means["source_harmonic_mean"][metric] == pytest.approx(floored(values[:sections]), abs=1e-12)
            assert means["target_harmonic_mean"][metric] == pytest.approx(floored(values[sections:]), abs=1e-12)


def test_official_score_of_2021_is_over_all_aucs_and_paucs(world):
    table = world(2021).table
    expected = rows_by_machine(table, 2021)
    ours = official_score(table, 2021)
    values = [value for rows in expected.values() for metric in ("auc", "pauc") for value in rows[metric]]
    assert len(values) == 2 * 4 * 3 * 2
    assert ours.score == pytest.approx(stats.hmean(values), abs=1e-12)
    assert ours.interval is None
    assert "paper_table" not in ours.summary["overall"]


@pytest.mark.parametrize("year", LATE)
def test_official_score_from_2022_on_counts_pauc_once_a_section(world, year):
    table = world(year).table
    values = []
    for _, section in table.groupby(["machine", "id"]):
        values += [area(section[(section["domain"] == d) | (section["label"] == 1)]) for d in DOMAINS]
        values.append(area(section, max_fpr=0.1))
    ours = official_score(table, year)
    assert ours.score == pytest.approx(stats.hmean(values), abs=1e-12)
    assert ours.summary["overall"].get("paper_table", {}).get("total", {"a_mean": np.mean(values)}) == {
        "a_mean": pytest.approx(np.mean(values), abs=1e-12),
        **({} if year == 2022 else {"h_mean": ours.score}),
    }


@pytest.mark.parametrize("year", LATE)
def test_interval_is_the_jackknifes_and_n_minus_1_times_narrower_if_bug_compatible(world, year):
    table = world(year).table
    right, official = (official_score(table, year, bug_compatible=bug) for bug in (False, True))
    assert right.interval == pytest.approx(official.interval * (len(table) - 1), rel=1e-9)
    half = []
    for max_fpr in (None, 0.1):
        rest = [area(table.drop(clip), max_fpr=max_fpr) for clip in table.index]
        pseudo = len(rest) * area(table, max_fpr=max_fpr) - (len(rest) - 1) * np.array(rest)
        half.append(stats.t.ppf(0.975, len(rest) - 1) * stats.sem(pseudo))
    assert right.interval == pytest.approx(np.mean(half), abs=1e-9)
    assert official.summary["overall"]["official_score_ci95"]["corrected"] == right.interval


@pytest.mark.parametrize(
    ("year", "cut"),
    [
        (2021, 4 // 2),  # half the machines: two of six rows here, three of six (right by luck) with seven machines
        (2022, 3 // 2),  # half the sections: one of six rows
        (2024, 1),  # right: all source sections, of which there is one
    ],
)
def test_bug_compatible_rows_of_a_domain_are_cut_where_the_evaluator_cuts(world, year, cut):
    table = world(year).table
    right, official = (official_score(table, year, bug_compatible=bug) for bug in (False, True))
    for machine, rows in rows_by_machine(table, year).items():
        means = official.machines[machine]["means"]
        assert means["source_harmonic_mean"]["auc"] == pytest.approx(floored(rows["auc"][:cut]), abs=1e-12)
        assert means["target_harmonic_mean"]["auc"] == pytest.approx(floored(rows["auc"][cut:]), abs=1e-12)
        assert means["harmonic_mean"] == right.machines[machine]["means"]["harmonic_mean"]
    assert official.score == right.score
    same = ("source_harmonic_mean", "target_harmonic_mean")  # over all machines the evaluators are right
    assert [official.summary["overall"][key] for key in same] == [right.summary["overall"][key] for key in same]


def test_2020_has_means_but_no_official_score(world):
    table = world(2020).table
    ours = official_score(table, 2020)
    cells = {key: (area(clips), area(clips, max_fpr=0.1)) for key, clips in table.groupby(["machine", "id"])}
    for (machine, id), (auc, pauc) in cells.items():
        cell = ours.machines[machine]["ids"][id]
        assert (cell["auc"], cell["pauc"]) == (pytest.approx(auc, abs=1e-12), pytest.approx(pauc, abs=1e-12))
    assert (ours.score, ours.interval) == (None, None)
    means = ours.summary["derived_not_official"]
    assert means["mean_auc_over_all_ids"] == pytest.approx(np.mean([auc for auc, _ in cells.values()]), abs=1e-12)


def test_without_decisions_precision_recall_and_f1_are_left_out(world):
    ours = official_score(world(2023).table.drop(columns="decision"), 2023)
    assert list(ours.machines["fan"]["sections"]["00"]) == ["auc_all", "auc_source", "auc_target", "pauc", "counts"]
    assert list(ours.summary["overall"]["harmonic_mean"]) == ["auc", "pauc"]


@pytest.mark.parametrize(
    ("year", "message"),
    [
        (2019, "unknown year '2019'; did you mean .* known: 2020, 2021, 2022, 2023, 2024, 2025"),
        (2026, "the official score of 2026 is not known yet; known: 2020"),
    ],
)
def test_year_without_a_known_rule_is_refused(world, year, message):
    with pytest.raises(AsdRayError, match=message):
        official_score(world(2023).table, year)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: table.drop(columns="label"), "lacks the column 'label'"),
        (lambda table: table.iloc[:0], "is empty"),
        (lambda table: table.assign(score=np.nan), r"scores must be finite, but \w+ section_\w+.wav has nan"),
        (lambda table: table.assign(domain=""), "knows the domains source and target but the table of scores has ''"),
        (lambda table: table.iloc[[0, *range(len(table))]], "is in the table of scores more than once"),
        (lambda table: table[table["label"] == 0], "section 00 has only normal clips"),
        (lambda table: table.query("label == 1 or domain == 'source'"), "lacks normal or anomalous .* its target AUC"),
    ],
)
def test_table_that_cannot_be_scored_says_why(world, spoil, message):
    with pytest.raises(AsdRayError, match=message):
        official_score(spoil(world(2023).table), 2023)


def test_domains_of_2020_may_be_missing(world):
    table = world(2020).table
    table["domain"] = np.array([(None, "", "source")[number % 3] for number in range(len(table))], dtype=object)
    assert official_score(table, 2020).machines
    with pytest.raises(AsdRayError, match="2023 knows the domains source and target but the table of scores has ''"):
        official_score(table, 2023)
