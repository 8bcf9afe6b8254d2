"""The score that each family's paper reports, among the variants that the family gives.

Read where something is called a paper's: its setting alone is not the paper's method if another score is taken. This
is data beside the ledger, so that no floor has to import a detector for it.
"""

from __future__ import annotations

from collections.abc import Collection

# Family -> variants. Empty: the paper has no single score, and all variants count. A user's own family is not here.
PAPER_VARIANTS: dict[str, tuple[str, ...]] = {
    # Jiang et al. report the best of the 19 scores for each machine, chosen by test labels: no single one. For the
    # machines of 2022 they say which, see PAPER_VARIANTS_OF.
    "aegan_ad": (),
    # The loss is the paper's. It is about images and has no clips; the mean over a clip's windows is our choice.
    "anogan": ("loss_mean",),
    # PAPER is the program of 2023, whose paper (Harada et al.) proposes the selective Mahalanobis score. Its program
    # also has the older `mse`, the score of the baselines of 2020 to 2022.
    "autoencoder": ("mahala",),
    # Kim et al.: the cross-entropy of the clip's own id, from the softmax of the combined features.
    "complex_net": ("nll",),
    # Wilkinghoff 2023: the cosine distance to the nearest target clip or k-means centre.
    "embedding_knn": ("kmeans",),
    # Zheng et al. 2024 are known to us by the abstract. The repetition by ASDKit takes the nearest normal clips.
    "finetuned": ("knn",),
    # Known from the abstract alone: the likelihood under the clip's own id. `nll_ratio` is ours.
    "flow_aff": ("nll",),
    # The difference of the codes is the paper's. It is about images; the mean over a clip's windows is our choice.
    "ganomaly": ("z_mean",),
    # Giri et al.: the negative log likelihood of the density. The report does not say whether the outer frames count
    # at test. We take all five frames, because that is the density that they define and train.
    "group_made": ("all",),
    # Giri et al.: minus the softmax of the clip's own id. The official baseline has `log_odds`, but is not PAPER.
    "id_classifier": ("probability",),
    "idnn": ("mean",),
    # Saengthong and Shinozaki: the distance to the nearest normal clip, with MemMixup and domain normalisation in later
    # rows of theirs, which are variants here.
    "pretrained": ("knn",),
    # Liu et al.: the negative log probability; in the authors' code it is computed with the margin of ArcFace.
    "stgram": ("nll_margin",),
    "twfr_gmm": ("gmm",),
}
# Family -> year of the dataset's edition -> machine -> variants, where the paper names those of a machine.
PAPER_VARIANTS_OF: dict[str, dict[int, dict[str, tuple[str, ...]]]] = {
    "aegan_ad": {
        2022: {
            "bearing": ("G_z_1_sum",),
            "fan": ("G_z_cos_min",),
            "gearbox": ("G_z_cos_min",),
            "slider": ("D_lof",),
            "ToyCar": ("G_z_1_sum",),
        }
    }
}
# Family -> editions. On the development sets of these, the authors chose the setting of each machine with test labels.
SETTINGS_BY_LABELS: dict[str, tuple[int, ...]] = {"aegan_ad": (2020, 2022)}


def paper_variants(family: str, machine: str = "", year: int | None = None) -> tuple[str, ...]:
    """The variants that the family's paper reports; () if it has no single score. A machine may have its own."""
    of_machines = PAPER_VARIANTS_OF.get(family, {}).get(year, {}) if year is not None else {}
    return of_machines.get(machine) or PAPER_VARIANTS.get(family, ())


def papers_own(family: str, variants: Collection[str], machine: str = "", year: int | None = None) -> frozenset[str]:
    """Those of a trial's variants that its paper reports.

    All of them if no single score is known, or if the trial has none of those that the paper reports. Leave machine
    and year out where no label may choose: the authors chose the scores of single machines with test labels.
    """
    return frozenset(paper_variants(family, machine, year)) & frozenset(variants) or frozenset(variants)
