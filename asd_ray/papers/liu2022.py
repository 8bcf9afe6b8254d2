"""Liu et al. 2022: STgram-MFN. Table 2 (AUC, pAUC), table 3 (mAUC) and table 4 (input features)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asd_ray.papers.measure import AUC, MAUC, PAUC
from asd_ray.papers.paper import Paper
from asd_ray.papers.row import Member, PaperRow, numbers
from asd_ray.papers.table import PaperTable

MACHINES = ("fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor")
UNSAID = "single detector; how labels were used is not said"
# The authors' code keeps the epoch with the largest AUC + pAUC on the development test clips.
BEST_EPOCH = "single detector, best epoch chosen with test labels"
LAST_EPOCH = "the authors take the best epoch on test clips, a run here the last one"
OWN = {"protocol": BEST_EPOCH, "jointly": True, "additional": MACHINES, "differs": LAST_EPOCH}
GIVEN = "numbers as given by Liu et al."

# By printed name. Most systems stand in two or three tables.
SYSTEMS: dict[str, dict[str, Any]] = {
    "IDNN": {"protocol": UNSAID, "differs": GIVEN, "members": (Member("idnn", ("mean",)),)},
    "MobileNetV2": {
        "protocol": UNSAID,
        # their reference is Giri et al., DCASE 2020 workshop
        "differs": f"{GIVEN}; which label augmentations it had is not said",
        "members": (Member("id_classifier", ("probability",)),),
    },
    "Glow_Aff": {
        "protocol": UNSAID,
        "differs": f"{GIVEN}; of Dohi et al. 2021 only the abstract was known, so sizes and loss here are our choice",
        "members": (Member("flow_aff", ("nll",), {"flow": "glow"}),),
    },
    "LogMel-MFN": {**OWN, "members": (Member("stgram", ("nll",), {"inputs": "sgram", "head": "softmax"}),)},
    "Tgram-MFN": {**OWN, "members": (Member("stgram", ("nll",), {"inputs": "tgram", "head": "softmax"}),)},
    "Spec-MFN": {
        **OWN,
        "differs": f"{LAST_EPOCH}; the paper gives no details of the linear spectrogram",
        "members": (Member("stgram", ("nll",), {"inputs": "spectrum", "head": "softmax"}),),
    },
    "STgram-MFN(CEE)": {
        **OWN,
        "system": "STgram-MFN, cross entropy",
        "members": (Member("stgram", ("nll",), {"head": "softmax"}),),
    },
    "STgram-MFN(ArcFace)": {
        **OWN,
        "system": "STgram-MFN, ArcFace",
        "members": (Member("stgram", ("nll_margin",)),),
    },
}


def _rows(published: Mapping[str, tuple[str, tuple[float, ...]]]) -> tuple[PaperRow, ...]:
    return tuple(
        PaperRow(name, numbers(MACHINES, text), average=average, **SYSTEMS[name])
        for name, (text, average) in published.items()
    )


TABLE_2 = PaperTable(
    "2",
    "Performance comparison in terms of AUC (%) and pAUC (%) for different types of machines",
    "dcase2020",
    "development",
    MACHINES,
    (AUC, PAUC),
    "mean",
    _rows(
        {
            "IDNN": ("67.71/52.90 73.76/61.07 86.45/67.58 84.09/64.94 78.69/69.22 71.07/59.70", (76.96, 62.57)),
            "MobileNetV2": ("80.19/74.40 82.53/76.50 95.27/85.22 88.65/87.98 87.66/85.92 69.71/56.43", (84.34, 77.74)),
            "Glow_Aff": ("74.90/65.30 83.40/73.80 94.60/82.80 91.40/75.00 92.20/84.10 71.50/59.00", (85.20, 73.90)),
            "STgram-MFN(CEE)": (
                "91.30/86.73 91.25/81.69 99.36/96.84 94.44/91.58 88.80/87.38 72.93/63.62",
                (89.68, 84.64),
            ),
            "STgram-MFN(ArcFace)": (
                "94.04/88.97 91.94/81.75 99.55/97.61 99.64/98.44 94.44/87.68 74.57/63.60",
                (92.36, 86.34),
            ),
        }
    ),
    # The paper's own averages differ: the means are 84.00, and 84.67 and 73.33. Those of Glow_Aff are about the means
    # over all 23 ids.
    note="The printed average AUC of MobileNetV2, and both averages of Glow_Aff, are not the means of their rows.",
)

TABLE_3 = PaperTable(
    "3",
    "Performance comparison in terms of mAUC (%)",
    "dcase2020",
    "development",
    MACHINES,
    (MAUC,),
    "mean",
    _rows(
        {
            "IDNN": ("56.56 61.86 74.22 66.83 64.41 62.89", (64.46,)),
            "MobileNetV2": ("50.40 52.90 82.80 67.90 55.70 48.70", (59.73,)),
            "Glow_Aff": ("49.60 65.70 87.80 77.70 80.10 61.00", (70.32,)),
            "STgram-MFN(CEE)": ("79.80 79.79 98.39 79.12 61.91 57.25", (76.04,)),
            "STgram-MFN(ArcFace)": ("81.39 83.48 98.22 98.83 83.07 64.16", (84.86,)),
        }
    ),
)

TABLE_4 = PaperTable(
    "4",
    "Performance comparison for different input features",
    "dcase2020",
    "development",
    MACHINES,
    (AUC, MAUC),
    "mean",
    _rows(
        {
            "LogMel-MFN": ("82.36/53.75 87.74/67.62 99.08/98.07 89.91/65.88 88.73/66.32 78.17/67.79", (87.67, 69.91)),
            "Tgram-MFN": ("89.47/83.85 89.13/82.60 71.64/27.45 87.41/74.32 60.72/49.89 52.70/46.71", (75.18, 60.80)),
            "Spec-MFN": ("80.36/49.75 83.73/65.92 93.62/88.62 86.46/77.77 64.07/47.22 54.47/51.85", (77.12, 63.52)),
            "STgram-MFN(CEE)": (
                "91.30/79.80 91.25/79.79 99.36/98.39 94.44/79.12 88.80/61.91 72.93/57.25",
                (89.68, 76.04),
            ),
            "STgram-MFN(ArcFace)": (
                "94.04/81.39 91.94/83.48 99.55/98.22 99.64/98.83 94.44/83.07 74.57/64.16",
                (92.36, 84.86),
            ),
        }
    ),
)

PAPER = Paper(
    "liu2022",
    "Liu, Guan, Zhu, Wang",
    "Anomalous Sound Detection Using Spectral-Temporal Information Fusion",
    "ICASSP",
    2022,
    (TABLE_2, TABLE_3, TABLE_4),
)
