"""Families of dense nets on consecutive frames: autoencoder, IDNN and Group MADE."""

from __future__ import annotations

import torch
from torch import Tensor

from asd_ray.deploy.onnx.front_ends import vectors
from asd_ray.deploy.onnx.frozen import frozen
from asd_ray.deploy.onnx.score_net import ScoreNet, by_clip, mean_of_windows
from asd_ray.detectors.families.autoencoder import Autoencoder
from asd_ray.detectors.families.group_made import HALF_LOG_TAU, MIN_LOG_SIGMA, GroupMade
from asd_ray.detectors.families.idnn import IDNN


class AutoencoderScores(ScoreNet):
    """The errors of all vectors, as such and under the inverse covariances of the residuals."""

    def __init__(self, detector: Autoencoder) -> None:
        super().__init__(detector.front_end, detector.frames, noise=detector.noise)
        self.frames = detector.frames
        self.net = frozen(detector._fitted_net("export"))
        for domain, precision in detector._precision().items():
            self.register_buffer(f"factor_{domain}", torch.linalg.cholesky(precision).cpu())

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        rows = vectors(self.front_end(samples), self.frames).flatten(0, 1)
        residual = rows - self.net(rows.flatten(1)).view_as(rows)
        mean_residual = mean_of_windows(residual.mean(1), samples).double()
        factors = list(self.buffers(recurse=False))
        selective = [(mean_residual @ factor).square().sum(1) for factor in factors]
        by_frame = [mean_of_windows((residual @ factor.float()).square().sum(2).mean(1), samples) for factor in factors]
        return {
            "mse": mean_of_windows(residual.square().mean((1, 2)), samples),
            "mahala": torch.stack(selective).amin(0),
            "mahala_frame": torch.stack(by_frame).amin(0),
        }


class IdnnScores(ScoreNet):
    """The errors of the middle frames."""

    def __init__(self, detector: IDNN) -> None:
        super().__init__(detector.front_end, detector.frames, noise=detector.noise)
        self.frames = detector.frames
        self.net = frozen(detector._fitted_net("export"))

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        rows, middle = vectors(self.front_end(samples), self.frames).flatten(0, 1), self.frames // 2
        others = torch.cat([rows[:, :middle], rows[:, middle + 1 :]], 1)
        errors = by_clip((self.net(others.flatten(1)) - rows[:, middle]).square().mean(1), samples)
        return {"mean": errors.mean(1), "max": errors.amax(1)}


class GroupMadeScores(ScoreNet):
    """The negative log likelihoods of all frames."""

    def __init__(self, detector: GroupMade) -> None:
        super().__init__(detector.front_end, detector.frames)
        self.frames = detector.frames
        self.net = frozen(detector._fitted_net("export"))

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        net = self.net
        values = (vectors(self.front_end(samples), self.frames).flatten(0, 1) - net.shift) / net.spread
        groups = torch.split(values.index_select(1, net.by_degree), net.sizes, 1)
        nll = [_nll(group, mixtures) for group, mixtures in zip(groups, net.mixtures(values), strict=True)]
        by_frame = mean_of_windows(torch.cat(nll, 1).index_select(1, net.in_time), samples)
        return {"all": by_frame.mean(1), "middle": by_frame[:, self.frames // 2]}


def _nll(values: Tensor, mixtures: Tensor) -> Tensor:
    """[n, frames, mels] -> [n, frames]: minus the log density as the family computes it, averaged over mels."""
    logits, means, log_sigmas = mixtures.unbind(2)
    log_sigmas = log_sigmas.clamp(min=MIN_LOG_SIGMA)
    distances = (values[:, :, None] - means) * (-log_sigmas).exp()
    exponents = logits - log_sigmas - 0.5 * distances.square()
    return (logits.logsumexp(2) - exponents.logsumexp(2) + HALF_LOG_TAU).mean(2)
