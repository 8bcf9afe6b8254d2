"""GANs on spectrograms of 128 × 128: AEGAN-AD and GANomaly."""

from __future__ import annotations

from torch import Tensor

from asd_ray.deploy.onnx.backends import BackendsById
from asd_ray.deploy.onnx.front_ends import images
from asd_ray.deploy.onnx.frozen import frozen
from asd_ray.deploy.onnx.score_net import ScoreNet, by_clip, mean_of_windows
from asd_ray.detectors.families.aegan_ad import MEASURES, AeganAd, window_measures
from asd_ray.detectors.families.ganomaly import Ganomaly
from asd_ray.detectors.parts.pictures import SIZE


class AeganAdScores(ScoreNet):
    """All nineteen scores; those that are not chosen as outputs are left out of the file."""

    def __init__(self, detector: AeganAd) -> None:
        super().__init__(detector.front_end, SIZE, detector.hop)
        self.hop, self.scale = detector.hop, detector._scale
        self.nets = frozen(detector._fitted_nets("export"))
        self.backends = BackendsById(detector._fitted_backends(), ["all"])
        self.windows_of_10_s = (detector.front_end.frames(10 * self.rate) - SIZE) // detector.hop + 1

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        pictures = images(self.scale(self.front_end(samples)), SIZE, self.hop)
        features = mean_of_windows(self.nets.critic.features(pictures), samples)
        by_id: dict[str, Tensor] = self.backends(features)
        scores = {name: values[:, 0] for name, values in by_id.items()}
        by_window = by_clip(window_measures(self.nets, pictures), samples)
        sums = by_window.mean(1) * self.windows_of_10_s
        for how, values in (("sum", sums), ("min", by_window.amin(1)), ("max", by_window.amax(1))):
            scores |= {f"G_{measure}_{how}": values[:, i] for i, measure in enumerate(MEASURES)}
        return scores


class GanomalyScores(ScoreNet):
    """Differences of codes and of spectrograms."""

    def __init__(self, detector: Ganomaly) -> None:
        super().__init__(detector.front_end, SIZE, detector.hop)
        self.hop, self.scale = detector.hop, detector._scale
        self.generator = frozen(detector._fitted_nets("export"))
        self.backends = BackendsById(detector._fitted_backends(), ["all"])  # none unless the detector names some

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        pictures = images(self.scale(self.front_end(samples)), SIZE, self.hop)
        rebuilt, code, code_of_rebuilt = self.generator(pictures)
        differences = {
            "z": (code - code_of_rebuilt).square().mean(1),
            "x": (rebuilt - pictures).abs().flatten(1).mean(1),
        }
        scores: dict[str, Tensor] = {}
        for name, values in differences.items():
            by_window = by_clip(values, samples)
            scores |= {f"{name}_mean": by_window.mean(1), f"{name}_max": by_window.amax(1)}
        by_id: dict[str, Tensor] = self.backends(mean_of_windows(code, samples))
        return scores | {name: values[:, 0] for name, values in by_id.items()}
