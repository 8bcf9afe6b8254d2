"""Cho 2022: STgram with mixup on DCASE 2022. Table 1."""

from __future__ import annotations

from asd_ray.papers import official
from asd_ray.papers.measure import Measure
from asd_ray.papers.paper import Paper
from asd_ray.papers.row import Member, PaperRow, numbers
from asd_ray.papers.table import PaperTable

MACHINES = ("ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve")
UNSAID = "single detector; how labels were used is not said"
OPEN = "the report gives neither batch size nor the proportions of mixup"

TABLE_1 = PaperTable(
    "1",
    "Performance comparison (harmonic mean) on development datasets",
    "dcase2022",
    "development",
    MACHINES,
    (
        Measure("AUC(s)", ("auc_source",), "hmean"),
        Measure("AUC(t)", ("auc_target",), "hmean"),
        Measure("pAUC", ("pauc",), "hmean"),
    ),
    "",
    (
        PaperRow(
            "MobileNetV2(Baseline)",
            numbers(
                MACHINES,
                "59.12/51.96/52.27 57.26/45.90/51.52 60.58/59.94/57.14 70.75/48.22/56.9 69.21/56.19/56.03"
                " 65.15/38.23/54.67 67.09/57.22/62.42",
            ),
            official.PROTOCOL,
            members=(official.MOBILENET_2022,),
            differs=official.DIFFERS,
        ),
        PaperRow(
            "ST-gram + MobileNetV3",
            numbers(
                MACHINES,
                "49.45/52.90/53.07 62.64/44.29/51.17 56.76/47.81/54.85 53.88/45.31/54.53 64.20/58.79/56.15"
                " 59.39/53.07/52.44 58.34/58.02/53.11",
            ),
            UNSAID,
            members=(Member("stgram", ("nll_margin",), {"net": "mobilenet_v3", "mix": "mixup"}),),
            additional=MACHINES,
            differs=f"{OPEN}, nor how weights for three colours fit two channels",
            cannot="it starts from pretrained weights of MobileNetV3 (PyTorch Image Models), which are not shipped; "
            "put mobilenet_v3.safetensors, .pt or .pth into a folder and name that with $ASD_RAY_WEIGHTS; from a "
            "random start: asd-ray search --families stgram --set net=mobilenet_v3 --set mix=mixup",
            needs="mobilenet_v3",
        ),
        PaperRow(
            "ST-gram + MobileFaceNet",
            numbers(
                MACHINES,
                "40.35/60.58/50.31 51.33/54.42/50.95 64.55/49.35/55.79 69.89/44.18/53.14 65.50/55.94/53.28"
                " 89.23/62.03/63.06 66.92/58.47/58.50",
            ),
            UNSAID,
            members=(Member("stgram", ("nll_margin",), {"mix": "mixup"}),),
            additional=MACHINES,  # the report counts six sections as classes
            differs=OPEN,
        ),
    ),
)

PAPER = Paper(
    "cho2022",
    "Cho",
    "Self-Supervised Learning Methods Using ST-gram for Anomaly Machine Sound Detection",
    "DCASE challenge, technical report",
    2022,
    (TABLE_1,),
)
