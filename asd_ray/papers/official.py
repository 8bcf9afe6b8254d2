"""The official baselines of DCASE Task 2 as members of a row; several papers compare with them."""

from __future__ import annotations

from asd_ray.papers.row import Member

AUTOENCODER_2020 = Member("autoencoder", ("mse",), {"edition": "2020", "batch_size": 512})
AUTOENCODER_2021 = Member("autoencoder", ("mse",), {"edition": "2021", "batch_size": 512})  # that of 2022, too
CLASSIFIER = {"channels": 3, "mix": "none", "warps": 0, "lr": 1e-5, "test_hop": 1}
MOBILENET_2021 = Member(
    "id_classifier", ("log_odds_2021",), CLASSIFIER
)  # the program computes another score than meant
MOBILENET_2022 = Member("id_classifier", ("log_odds",), CLASSIFIER)
DIFFERS = "the official program does not standardise images, and holds out the last tenth of them"  # MobileNetV2
PROTOCOL = "single detector, settings of the organisers; last epoch"
