"""Choi, Choi 2024: TASTgram with Noisy-ArcMix, a successor of STgram-MFN. The results in the authors' README."""

from __future__ import annotations

from asd_ray.papers.measure import AUC, PAUC
from asd_ray.papers.paper import Paper
from asd_ray.papers.row import Member, PaperRow, numbers
from asd_ray.papers.table import PaperTable

MACHINES = ("fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor")

RESULTS = PaperTable(
    "README",
    "Results of the authors' repository",
    "dcase2020",
    "development",
    MACHINES,
    (AUC, PAUC),
    "mean",
    (
        PaperRow(
            "TASTgram, Noisy-ArcMix",
            numbers(MACHINES, "98.32/95.34 95.44/85.99 99.53/97.50 99.95/99.74 96.76/90.11 77.90/67.15"),
            "single detector, chosen without test labels: lowest loss on held-out normal clips",
            (94.65, 89.31),
            members=(
                Member(
                    "stgram",
                    ("nll_margin",),
                    {
                        "inputs": "sgram+tgram+attention",
                        "picture": "noisy_arcmix",
                        "net": "mobilefacenet_2023",
                        "mix": "noisy_arcmix",
                        "weight_decay": 0.01,
                        "anneal_after": 0,
                        "batch_size": 64,
                        "epochs": 300,
                    },
                ),
            ),
            jointly=True,
            additional=MACHINES,
            differs="the authors hold out 5 % of the normal clips (--held-out 0.05) and take the epoch of the lowest "
            "loss on them; a run here takes the last one",
        ),
    ),
)

PAPER = Paper(
    "choi2024",
    "Choi, Choi",
    "Noisy-ArcMix: Additive Noisy Angular Margin Loss Combined with Mixup for Anomalous Sound Detection",
    "ICASSP",
    2024,
    (RESULTS,),
)
