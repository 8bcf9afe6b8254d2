"""Encoders of the package transformers, from the user's own folder: nothing is fetched, and no code of it is run.

Their front ends are those of the package's feature extractors, computed for a batch on the encoder's device.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from asd_ray._torchaudio import load as load_torchaudio
from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.encoders.fbank import KaldiFbank
from asd_ray.errors import AsdRayError

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported: it never asks for a file
load_torchaudio()  # transformers imports it, and cannot beside a torch without CUDA

from transformers import ASTConfig, ASTModel  # noqa: E402
from transformers.utils import logging as package_log  # noqa: E402


class Ast(Encoder):
    """Audio Spectrogram Transformer, Gong et al. 2021: patches of 16 by 16 of a mel spectrogram, in `bands` rows.

    Frames are the patches that lie wholly within the sound; a shorter input is padded as the package does it. Layers
    are the outputs of the blocks, the last one after the final normalisation.
    """

    def __init__(self, net: Any, settings: dict[str, Any]) -> None:
        super().__init__()
        self.net, self.config = net, (config := net.config)
        self.rate = int(settings.get("sampling_rate", 16_000))
        self.mean, self.deviation = settings.get("mean", -4.2677393), settings.get("std", 4.5689974)
        self.normalised = settings.get("do_normalize", True)
        self.fbank = KaldiFbank(self.rate, config.num_mel_bins, "hanning")
        self.layers, self.width = config.num_hidden_layers, config.hidden_size
        self.bands, self.all_steps = net.embeddings.get_shape(config)
        self.longest = config.max_length * self.fbank.hop

    def piece_frames(self, samples: int) -> int:
        return self._steps(self.fbank.frames(samples)) * self.bands

    def encode(self, waves: Tensor) -> Tensor:
        mels = self.fbank(waves)
        steps = self._steps(mels.shape[1])
        mels = pad(mels, (0, 0, 0, self.config.max_length - mels.shape[1]))
        if self.normalised:
            mels = (mels - self.mean) / (2 * self.deviation)
        outputs = self.net(mels, output_hidden_states=True)
        hidden = torch.stack([*outputs.hidden_states[1:-1], outputs.last_hidden_state], 1)
        patches = hidden[:, :, 2:].unflatten(2, (self.bands, self.all_steps))  # the first two are no patches
        return patches[..., :steps, :].transpose(2, 3).flatten(2, 3)

    def _steps(self, mel_frames: int) -> int:
        return max(0, (mel_frames - self.config.patch_size) // self.config.time_stride + 1)


# Net -> its adapter, and the classes of transformers that read its weights and its config.json.
READERS: dict[str, tuple[Callable[[Any, dict[str, Any]], Encoder], Any, Any]] = {
    "ast": (Ast, ASTModel, ASTConfig),
}


def build(net: str, path: str) -> Encoder:
    """The encoder of a local folder. AsdRayError if the folder holds another one, or weights in a pickle."""
    adapter, model, config_class = READERS[net]
    folder = Path(path)
    config = _json(folder / "config.json")
    if config.get("model_type") != config_class.model_type:
        raise AsdRayError(
            f"{path}: config.json is of {config.get('model_type')!r}, but {net} needs a model of "
            f"{config_class.model_type!r}; name another folder, or another encoder"
        )
    if not list(folder.glob("*.safetensors")):
        raise AsdRayError(
            f"{path}: no weights in safetensors, and a pickle such as pytorch_model.bin is not read, because it may "
            "run code; convert it once: AutoModel.from_pretrained(folder).save_pretrained(folder) of transformers"
        )
    loaded, report = _load(net, path, model)
    if missing := sorted(report["missing_keys"]):
        raise AsdRayError(f"{path}: its weights lack {len(missing)} tensors of {net}, such as {missing[0]}; bring all")
    settings = folder / "preprocessor_config.json"
    return adapter(loaded, _json(settings) if settings.is_file() else {})


def _load(net: str, path: str, model: Any) -> tuple[Any, dict[str, Any]]:
    """The net of the package, and its report of missing weights. The package prints nothing meanwhile."""
    log: Any = package_log
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(logging.CRITICAL)
    log.disable_progress_bar()
    how = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    try:
        loaded, report = model.from_pretrained(path, **how, output_loading_info=True)
    except Exception as error:  # a broken folder may raise anything in the package
        raise AsdRayError(f"{path}: transformers cannot read it as {net} ({type(error).__name__}: {error})") from error
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
    return loaded, report


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AsdRayError(f"{path}: it cannot be read ({error}); bring the whole folder of the model") from error
    if not isinstance(content, dict):
        raise AsdRayError(f"{path}: it is no JSON object; bring the whole folder of the model")
    return content
