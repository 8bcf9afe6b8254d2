"""The table of families: the name and the class of each. A new family is one line here."""

from __future__ import annotations

FAMILIES: dict[str, str] = {
    "aegan_ad": "asd_ray.detectors.families.aegan_ad:AeganAd",
    "anogan": "asd_ray.detectors.families.anogan:AnoGan",
    "autoencoder": "asd_ray.detectors.families.autoencoder:Autoencoder",
    "complex_net": "asd_ray.detectors.families.complex_net:ComplexNet",
    "embedding_knn": "asd_ray.detectors.families.embedding_knn:EmbeddingKnn",
    "finetuned": "asd_ray.detectors.families.finetuned:Finetuned",
    "flow_aff": "asd_ray.detectors.families.flow_aff:FlowAff",
    "ganomaly": "asd_ray.detectors.families.ganomaly:Ganomaly",
    "group_made": "asd_ray.detectors.families.group_made:GroupMade",
    "id_classifier": "asd_ray.detectors.families.id_classifier:IdClassifier",
    "idnn": "asd_ray.detectors.families.idnn:IDNN",
    "pretrained": "asd_ray.detectors.families.pretrained:Pretrained",
    "stgram": "asd_ray.detectors.families.stgram:StgramMfn",
    "twfr_gmm": "asd_ray.detectors.families.twfr_gmm:TwfrGmm",
}

# Version 0.1 named a trial by the import path of its class. Trials stored under these paths still count.
PATHS_OF_0_1: dict[str, str] = {
    "aegan_ad": "asd_ray.detectors.aegan_ad:AeganAd",
    "anogan": "asd_ray.detectors.anogan:AnoGan",
    "autoencoder": "asd_ray.detectors.autoencoder:Autoencoder",
    "complex_net": "asd_ray.detectors.complex_net:ComplexNet",
    "embedding_knn": "asd_ray.detectors.embedding_knn:EmbeddingKnn",
    "flow_aff": "asd_ray.detectors.flow_aff:FlowAff",
    "ganomaly": "asd_ray.detectors.ganomaly:Ganomaly",
    "group_made": "asd_ray.detectors.group_made:GroupMade",
    "id_classifier": "asd_ray.detectors.id_classifier:IdClassifier",
    "idnn": "asd_ray.detectors.idnn:IDNN",
    "stgram": "asd_ray.detectors.stgram:StgramMfn",
    "twfr_gmm": "asd_ray.detectors.twfr_gmm:TwfrGmm",
}
