"""Which machines of a clip table a search can run on, by labels or by normal sound alone, and why not on the others.

A search trains on normal clips. It compares trials by labelled test clips, both normal and anomalous; where there are
none, it compares them by faults that it injects into normal clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from asd_ray._names import FOLDER, NAME, RULE
from asd_ray.clips.table import ANOMALY, ERROR, NORMAL, NOTE, TEST, TRAIN, WARNING, ClipTable, Problem
from asd_ray.errors import AsdRayError, listing

UNSEARCHABLE = "cannot be searched"  # the start of the rule of every problem that excludes a machine
NO_LABELS = "trials are compared by injected faults"  # the start of the rule for machines without labelled anomalies
_WORDS = {NORMAL: "normal", ANOMALY: "anomalous"}
NO_TEST = "if you have recordings of faults, add them to measure detectors (abnormal/, or DCASE's test/ folder)"


def unsearchable(frame: pd.DataFrame) -> list[Problem]:
    """A warning for each machine that cannot be searched, and an error if that is all of them.

    `scan` and `check` add these problems to their table. Notes on machines that have no labels, and warnings about
    single ids that cannot be measured, follow.
    """
    problems, notes = [], []
    for machine, rows in frame.groupby("machine"):
        if reason := _bad_name(str(machine), rows) or _untrainable(rows):
            problems.append(Problem(WARNING, str(machine), f"{UNSEARCHABLE}: {reason[0]}", reason[1]))
        elif missing := _missing_labels(rows):
            notes.append(Problem(NOTE, str(machine), f"{NO_LABELS}: {missing[0]}", missing[1]))
    if len(problems) == frame["machine"].nunique():
        problems.append(Problem(ERROR, "dataset", "no machine can be searched", "see the reason of each machine"))
    return problems + notes + _ids_without_training(frame) + _ids_without_score(frame)


def unsearchable_reasons(table: ClipTable) -> dict[str, Problem]:
    """Machine -> the problem because of which it cannot be searched."""
    return {problem.path: problem for problem in table.problems if problem.rule.startswith(UNSEARCHABLE)}


def reason_without_labels(frame: pd.DataFrame, machine: str) -> str:
    """Why trials of a machine cannot be compared by labels, with the cure; "" if they can."""
    return "; ".join(_missing_labels(frame[frame["machine"] == machine]) or ())


def labelled_counts(frame: pd.DataFrame, machine: str) -> tuple[int, int]:
    """How many normal and how many anomalous test clips a machine has, of ids that have both."""
    test = frame[(frame["machine"] == machine) & (frame["split"] == TEST)]
    per_id = test.groupby("id")["label"].value_counts().unstack(fill_value=0).reindex(columns=[NORMAL, ANOMALY])
    both = per_id[(per_id > 0).all(axis=1)]
    return int(both[NORMAL].sum()), int(both[ANOMALY].sum())


def searchable(table: ClipTable, machines: Sequence[str] = ()) -> list[str]:
    """Those of `machines` (default: all of the table) that a search can run on; AsdRayError if there is none."""
    reasons = unsearchable_reasons(table)
    candidates = list(dict.fromkeys(machines or table.machines))
    usable = [machine for machine in candidates if machine not in reasons]
    if not usable:
        lines = listing(reasons[machine] for machine in candidates)
        raise AsdRayError(f"{table.place}: none of these machines can be searched:\n{lines}")
    return usable


def _bad_name(machine: str, rows: pd.DataFrame) -> tuple[str, str] | None:
    """(rule, cure) if the machine's name cannot be the name of a folder of the ledger."""
    if NAME.fullmatch(machine):
        return None
    parts = str(rows["path"].iat[0]).split("/")[:-1]
    folder = "/".join(parts[: parts.index(machine) + 1]) if machine in parts else "its folder"
    return f"the machine name {machine!r} {RULE}, {FOLDER}", f"rename {folder}"


def _untrainable(rows: pd.DataFrame) -> tuple[str, str] | None:
    """(rule, cure) if the machine has no clips to train on."""
    if ((rows["split"] == TRAIN) & (rows["label"] == NORMAL)).any():
        return None
    return (
        "it has no normal training clips",
        "add its train/ folder (DCASE: the development or additional training set)",
    )


def _missing_labels(rows: pd.DataFrame) -> tuple[str, str] | None:
    """(rule, cure) if no labelled test clips can measure detectors of the machine."""
    tested = rows[rows["split"] == TEST]
    test = Counter(tested["label"])
    if not test:
        return "it has no test clips", NO_TEST
    if not test[NORMAL] and not test[ANOMALY]:
        return "no test clip has a label", "add the label list of the evaluation set, below the folder or with --labels"
    for label in (NORMAL, ANOMALY):
        if not test[label]:
            return f"its test clips include no {_WORDS[label]} one", "AUC needs normal and anomalous clips; add some"
    if not set(tested.loc[tested["label"] == NORMAL, "id"]) & set(tested.loc[tested["label"] == ANOMALY, "id"]):
        return "no id has normal and anomalous test clips", "AUC compares clips of one id; add the missing ones"
    return None


def _ids_without_training(frame: pd.DataFrame) -> list[Problem]:
    """Ids that have test clips only, such as the evaluation ids of 2020 without the additional training data."""
    problems = []
    for machine, rows in frame.groupby("machine"):
        trained = set(rows.loc[rows["split"] == TRAIN, "id"])
        test_only = sorted(set(rows.loc[rows["split"] == TEST, "id"]) - trained)
        if test_only and trained:
            rule = f"test clips of id {', '.join(test_only)} have no training clips of that id"
            problems.append(Problem(WARNING, str(machine), rule, "add the additional training set, if there is one"))
    return problems


def _ids_without_score(frame: pd.DataFrame) -> list[Problem]:
    """Ids without an AUC although their machine has one: official scores are per id, and per domain since 2021."""
    problems = []
    test = frame[(frame["split"] == TEST) & frame["label"].isin((NORMAL, ANOMALY))]
    for (machine, id), rows in test.groupby(["machine", "id"]):
        labels, domains = set(rows["label"]), set(rows["domain"])
        missing = [label for label in (NORMAL, ANOMALY) if label not in labels]
        normal_domains = set(rows.loc[rows["label"] == NORMAL, "domain"])
        missing += [f"{NORMAL} {domain}" for domain in sorted(domains - normal_domains) if not missing and domain]
        if missing and set(test.loc[test["machine"] == machine, "label"]) == {NORMAL, ANOMALY}:
            rule = f"id {id} has no {' and no '.join(missing)} test clip, so no score of its own"
            problems.append(Problem(WARNING, str(machine), rule, "add some, or leave that id out"))
    return problems
