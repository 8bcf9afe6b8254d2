"""t-SNE: embeddings of clips as points of a plane."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError
from asd_ray.figures.index import TSne

Floats = npt.NDArray[np.float64]
LEAST = 4  # points: with fewer there are no neighbours to keep
LEAST_PERPLEXITY = 1.0


def plane(embeddings: Floats, settings: TSne, seed: int = 0) -> Floats:
    """[n, dimensions] -> [n, 2], from a fixed seed and the principal components.

    With few clips the perplexity is a third of the others, because t-SNE needs more points than neighbours.
    """
    from sklearn.manifold import TSNE

    count = len(embeddings)
    if count < LEAST:
        raise AsdRayError(f"t-SNE needs at least {LEAST} clips but got {count}; name more ids, or a larger dataset")
    spread = np.ptp(embeddings, axis=0)
    if not spread.any():
        raise AsdRayError(
            f"all {count} clips have the same embedding, so there is nothing to show; train the detector for longer"
        )
    values = embeddings if embeddings.shape[1] > 1 else np.column_stack([embeddings, np.zeros(count)])
    t_sne = TSNE(
        perplexity=perplexity(count, settings),
        max_iter=settings.iterations,
        learning_rate="auto" if settings.learning_rate is None else settings.learning_rate,
        init="pca",
        random_state=seed,
        n_jobs=1,
    )
    points: Floats = t_sne.fit_transform(values).astype(np.float64)
    return points


def perplexity(count: int, settings: TSne) -> float:
    """The perplexity for so many points."""
    return min(settings.perplexity, max(LEAST_PERPLEXITY, (count - 1) / 3))


def standardised(values: Floats) -> Floats:
    """Each column divided by its deviation; a constant column becomes 0."""
    deviation = values.std(0)
    return np.asarray((values - values.mean(0)) / np.where(deviation > 0, deviation, 1.0))
