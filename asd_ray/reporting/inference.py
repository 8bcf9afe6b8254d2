"""The facts on time: how long ensembles and single candidates take for 10 s of sound, and what they reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asd_ray.ensembling import Ensemble
from asd_ray.ensembling.ensemble_file import FINAL


def inference_facts(
    ensembles: Mapping[str, Ensemble], candidates: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Facts of the machine's ensembles that can be compared; None where the final one was chosen without a limit.

    `candidates` are the rows of the leaderboard, the best first. Of each family the best candidate is shown. The times
    of ensembles are measured as a whole, and those of candidates are sums of a detector and its features. All values
    are those of ``oracle``: single candidates have no other. No ensemble has its number on unseen clips here, see
    `Ensemble.without_unseen`.
    """
    final = ensembles[FINAL]
    if final.inference is None:
        return None
    costs, best = final.inference.costs, dict[str, Mapping[str, Any]]()
    for row in candidates:
        if row["trial"] in costs.detectors:
            best.setdefault(row["family"], row)
    singles = [
        {
            "name": f"{row['name']} {row['variant']}".strip(),
            "family": family,
            "seconds": costs.of([row["trial"]]),
            "hmean": row["hmean"],
        }
        for family, row in best.items()
    ]
    limited = [
        {
            "name": name,
            "chosen": ensemble.name == final.name,
            "members": len(ensemble.members),
            "seconds": ensemble.inference.seconds,
            "hmean": oracle.hmean if (oracle := ensemble.metrics.get("oracle")) else None,
            "forecast": ensemble.headline.hmean if ensemble.headline and ensemble.forecasts else None,
            "protocol": ensemble.headline_protocol if ensemble.forecasts else None,
        }
        for name, ensemble in ((name, ensemble.without_unseen) for name, ensemble in ensembles.items())
        if name != FINAL and ensemble.inference
    ]
    return {
        "limit": final.config.infer_limit,
        "seconds": final.inference.seconds,
        "measured": bool(final.metrics),  # whether there are values beside the times
        "computer": costs.computer,
        "ensembles": sorted(limited, key=lambda row: (not row["chosen"], row["seconds"], row["name"])),
        "singles": sorted(singles, key=lambda row: (row["seconds"], row["name"])),
    }
