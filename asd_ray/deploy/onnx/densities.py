"""Densities of sound under each machine id: normalising flows, and Gaussian mixtures of one vector per clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asd_ray.deploy.onnx.front_ends import images, vectors
from asd_ray.deploy.onnx.frozen import frozen
from asd_ray.deploy.onnx.score_net import ScoreNet, mean_of_windows, of_id, row_of
from asd_ray.detectors.families.flow_aff import MAX_NLL, FlowAff
from asd_ray.detectors.families.twfr_gmm import TwfrGmm
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.mixtures import log_densities


class FlowAffScores(ScoreNet):
    """Negative log likelihoods under all ids, and that of the own one against the lowest of the others."""

    mean: Tensor
    deviation: Tensor
    allowed: Tensor

    def __init__(self, detector: FlowAff) -> None:
        fitted = detector._fitted_flow("export")
        super().__init__(detector.front_end, detector._size, detector._hop, fitted.ids.names)
        self.net, self.size, self.hop = frozen(fitted.net), detector._size, detector._hop
        self.is_glow, self.dimensions = detector.flow == "glow", detector._dimensions
        self.register_buffer("mean", fitted.mean.cpu().clone())
        self.register_buffer("deviation", fitted.deviation.cpu().clone())
        count = len(self.ids)
        self.register_buffer("allowed", torch.cat([torch.eye(count), torch.ones(1, count)]).bool())

    def forward(self, samples: Tensor, id: Tensor) -> dict[str, Tensor]:
        frames = (self.front_end(samples) - self.mean) / self.deviation
        if self.is_glow:
            inputs = images(frames, self.size, self.hop)
        else:
            inputs = vectors(frames, self.size).flatten(0, 1).flatten(1)
        ids = torch.arange(len(self.ids)).expand(inputs.shape[0], -1)
        nll = -(self.net.log_prob(inputs, ids) / self.dimensions).double().clamp(min=-MAX_NLL)
        by_id = mean_of_windows(nll, samples)
        allowed = self.allowed[row_of(id, len(self.ids))]
        own, own_id = by_id.masked_fill(~allowed, torch.inf).min(1)
        ratio = own
        if len(self.ids) > 1:
            ratio = own - by_id.scatter(1, own_id[:, None], torch.inf).amin(1)
        return {"nll": own, "nll_ratio": ratio}


class TwfrGmmScores(ScoreNet):
    """The mixtures of all ids on the time-weighted spectrum of a clip."""

    def __init__(self, detector: TwfrGmm) -> None:
        mixtures = training.require_fitted(detector, detector._mixtures or None, "export")
        super().__init__(detector.front_end, ids=["/".join(key) for key in mixtures], noise=detector.noise)
        self.r, self.mixtures = detector.r, nn.ModuleList()
        for learned in mixtures.values():
            constants = nn.Module()
            for name in ("means", "factors"):
                constants.register_buffer(name, learned[name].clone())
            self.mixtures.append(constants)

    def forward(self, samples: Tensor, id: Tensor) -> dict[str, Tensor]:
        frames = self.front_end(samples).double()
        if self.r < 1:  # from loud to quiet, weighted by powers of r
            weights = torch.pow(self.r, torch.arange(frames.shape[1], dtype=torch.float64))
            frames = frames.sort(1, descending=True).values * (weights / weights.sum())[:, None]
            vectors_of_clips = frames.sum(1)
        else:
            vectors_of_clips = frames.mean(1)
        densities = [log_densities(vectors_of_clips, one.means, one.factors).amax(1) for one in self.mixtures]  # type: ignore[arg-type]
        return {"gmm": of_id(-torch.stack(densities, 1), id)}
