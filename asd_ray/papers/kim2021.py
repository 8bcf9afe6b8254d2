"""Kim et al. 2021: classifiers of ids on the complex spectrum. Table II."""

from __future__ import annotations

from asd_ray.papers.measure import AUC
from asd_ray.papers.paper import Paper
from asd_ray.papers.row import Member, PaperRow, numbers
from asd_ray.papers.table import PaperTable

MACHINES = ("fan", "pump", "slider", "valve")
UNSAID = "single detector; how labels were used is not said"
OPEN = "the paper gives neither epochs nor batch size"
MIXED = f"{OPEN}; mixtures are of two ids here, of all ids in the paper"


def _row(name: str, text: str, average: float, member: Member, differs: str) -> PaperRow:
    return PaperRow(name, numbers(MACHINES, text), UNSAID, (average,), members=(member,), differs=differs)


TABLE_II = PaperTable(
    "II",
    "AUC scores obtained by self-supervised classification tasks with various setups",
    "dcase2020",
    "development",
    MACHINES,
    (AUC,),
    "mean",
    (
        _row(
            "Giri, Ritwik et al. / Log-mel / Mobilenetv2",
            "80.61 83.23 96.26 91.26",
            87.84,
            # trained again by Kim et al., with linear combination of log-mel spectrograms alone
            Member("id_classifier", ("nll",), {"mix": "after", "warps": 0, "lr": 1e-4}),
            MIXED,
        ),
        _row(
            "Giri, Ritwik et al. / Log-mel / Deep encoder",
            "81.92 89.82 94.25 91.65",
            89.41,
            Member("complex_net", ("nll",), {"encoder": "log_mel", "mix": True}),
            MIXED,
        ),
        _row(
            "Giri, Ritwik et al. / Magnitude / Deep encoder",
            "84.10 90.02 97.95 92.07",
            91.03,  # the paper's own; the mean of its four numbers is 91.035
            Member("complex_net", ("nll",), {"encoder": "magnitude", "mix": True}),
            MIXED,
        ),
        _row(
            "Proposed / Magnitude / Deep encoder",
            "86.75 96.72 97.62 94.37",
            93.86,
            Member("complex_net", ("nll",), {"encoder": "magnitude"}),
            OPEN,
        ),
        _row(
            "Proposed / Complex / Deep encoder",
            "87.80 95.62 98.02 94.17",
            93.90,
            Member("complex_net", ("nll",), {"attention": False}),
            OPEN,
        ),
        # Damaged in the text that we have. Its section IV-C3 has all of these numbers but that of the pump, which
        # follows from the average.
        _row(
            "Proposed / Complex / Deep encoder with attention block",
            "89.55 96.40 98.75 96.87",
            95.39,
            Member("complex_net", ("nll",)),
            OPEN,
        ),
    ),
    note="The paper does not say how ids are averaged; the arithmetic mean is assumed.",
)

PAPER = Paper(
    "kim2021",
    "Kim, Ho, Kang",
    "Self-supervised Complex Network for Machine Sound Anomaly Detection",
    "EUSIPCO",
    2021,
    (TABLE_II,),
)
