"""A detector to start from. Copy this file to where you work, rename the class, and change what you like.

    cp templates/my_detector.py .
    asd-ray conformance my_detector:MyDetector                  # does it keep the contract? Run it after each change
    asd-ray search fan --families my_detector:MyDetector        # on the demo set; your own data: --data FOLDER

The method: a small net learns to reproduce the log-mel frames of normal clips. A frame that it reproduces badly is
anomalous. The score of a clip is the mean, or a high quantile, of the errors of its frames.

docs/own-detector.md explains the contract.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asd_ray import PRESETS, AsdRayError, ClipSet, Context, FrontEnd, Progress, Resources, Scores, State

# Every parameter with the value that the first trial uses. The defaults of `__init__` are the same.
PAPER: dict[str, Any] = {"hidden": 64, "bottleneck": 8, "lr": 1e-3, "batch_size": 256, "epochs": 20}


def space(trial: Any) -> dict[str, Any]:
    """What Optuna may try. `trial` is an Optuna trial; each range includes the value of PAPER."""
    return {
        "hidden": trial.suggest_categorical("hidden", [32, 64, 128, 256]),
        "bottleneck": trial.suggest_int("bottleneck", 2, 32, log=True),
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [256, 512, 1024]),
        "epochs": trial.suggest_int("epochs", 5, 50),
    }


class MyDetector:
    """An autoencoder of single frames. Variants: `mean` and `high` of the errors of a clip's frames."""

    RESOURCES = Resources(cpu=1)  # what one trial asks of Ray; with gpu=0.25 four trials share a GPU
    # VERSION = 1  # without it a hash of this code is used, so that trials run again after each change of the code

    def __init__(
        self,
        context: Context,  # the device, the seed, the sample rate and the features
        *,
        hidden: int = 64,
        bottleneck: int = 8,
        lr: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 20,
    ) -> None:
        whole = {"hidden": hidden, "bottleneck": bottleneck, "batch_size": batch_size, "epochs": epochs}
        for name, value in whole.items():
            if type(value) is not int or value < 1:
                raise AsdRayError(f"{name} must be a whole number from 1 but got {value!r}")
        if not lr > 0:
            raise AsdRayError(f"lr must be above 0 but got {lr!r}")
        self.context = context
        self.hidden, self.bottleneck, self.lr = hidden, bottleneck, lr
        self.batch_size, self.epochs = batch_size, epochs
        self.net: nn.Module | None = None
        self.mean = self.scale = torch.zeros(0)  # of each mel band over the training frames

    @property
    def front_end(self) -> FrontEnd:
        """How audio becomes features: 128 log-mel bands, as in the baselines of DCASE. They are cached."""
        return PRESETS["baseline"].at(self.context.rate)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        """Learn from normal clips. Whatever is random comes from the seed of the context."""
        if len(train) == 0:
            raise AsdRayError("MyDetector cannot learn from no clips")
        frames = torch.cat(self._frames(train))
        self.mean, self.scale = frames.mean(0), frames.std(0) + 1e-3
        frames = (frames - self.mean) / self.scale
        net = self.net = self._new_net()
        optimiser = torch.optim.Adam(net.parameters(), self.lr)
        generator = self.context.generator()
        for epoch in range(1, self.epochs + 1):
            net.train()
            total = torch.zeros((), device=frames.device)
            for batch in torch.randperm(len(frames), generator=generator).split(self.batch_size):
                rows = frames[batch.to(frames.device)]
                loss = (net(rows) - rows).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.detach() * len(batch)
            yield Progress(epoch, {"loss": total.item() / len(frames)})

    def score(self, clips: ClipSet) -> Scores:
        """One number per clip and variant; higher is more anomalous. A clip's score must not depend on other clips."""
        net = self._fitted("score").eval()
        mean, high = [], []
        with torch.inference_mode():
            for frames in self._frames(clips):
                rows = (frames - self.mean) / self.scale
                errors = (net(rows) - rows).square().mean(1)
                mean.append(errors.mean().item())
                high.append(errors.quantile(0.9).item())
        return {"mean": np.array(mean), "high": np.array(high)}

    def state(self) -> State:
        """All that `score` needs: tensors, numbers and text, in dictionaries. Copies, since training may go on."""
        weights = {name: value.cpu().clone() for name, value in self._fitted("state").state_dict().items()}
        return {"net": weights, "mean": self.mean.cpu(), "scale": self.scale.cpu()}

    def load(self, state: State) -> None:
        net = self._new_net()
        net.load_state_dict(state["net"])
        self.net = net
        self.mean, self.scale = state["mean"].to(self.context.device), state["scale"].to(self.context.device)

    def _new_net(self) -> nn.Module:
        bands = self.front_end.shape[0]
        with torch.random.fork_rng(devices=[]):  # initial weights come from the seed; other random numbers stay
            torch.manual_seed(self.context.seed)
            net = nn.Sequential(
                nn.Linear(bands, self.hidden),
                nn.ReLU(),
                nn.Linear(self.hidden, self.bottleneck),
                nn.Linear(self.bottleneck, self.hidden),
                nn.ReLU(),
                nn.Linear(self.hidden, bands),
            )
        return net.to(self.context.device)

    def _frames(self, clips: ClipSet) -> list[Tensor]:
        """The features of each clip: [frames, bands]."""
        features = self.context.features.get(self.front_end, clips)
        return [torch.from_numpy(features.clip(i).copy()).float().to(self.context.device) for i in range(len(clips))]

    def _fitted(self, method: str) -> nn.Module:
        if self.net is None:
            raise AsdRayError(f"MyDetector must be fitted before {method}")
        return self.net
