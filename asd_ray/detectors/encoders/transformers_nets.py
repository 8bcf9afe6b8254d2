"""Encoders of the package transformers, from the user's own folder: nothing is fetched, and no code of it is run.

Their front ends are those of the package's feature extractors, computed for a batch on the encoder's device. A layer is
the output of a block, the last one after the net's final normalisation. Blocks are never dropped at random, and the
package's own masking is off, so that all layers are there in training, too.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from asd_ray._torchaudio import load as load_torchaudio
from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.encoders.fbank import KaldiFbank
from asd_ray.detectors.encoders.spectra import MelSpectra
from asd_ray.errors import AsdRayError

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported: it never asks for a file
load_torchaudio()  # transformers imports it, and cannot beside a torch without CUDA

import transformers  # noqa: E402
from transformers.utils import logging as package_log  # noqa: E402

SPEECH_SECONDS = 30  # chosen here, for the memory of attention: nets of speech take any length


class Ast(Encoder):
    """Audio Spectrogram Transformer, Gong et al. 2021: patches of a mel spectrogram, in `bands` rows.

    Frames are the patches that lie wholly within the sound; a shorter input is padded as the package does it.
    """

    def __init__(self, net: Any, extractor: Any) -> None:
        super().__init__()
        self.net, self.config, self.extractor = net, (config := net.config), extractor
        self.rate = extractor.sampling_rate
        self.fbank = KaldiFbank(self.rate, config.num_mel_bins, "hanning")
        self.layers, self.width = config.num_hidden_layers, config.hidden_size
        self.patch, self.stride = int(config.patch_size), int(config.time_stride)
        self.bands, self.all_steps = net.embeddings.get_shape(config)
        self.longest = config.max_length * self.fbank.hop

    def piece_frames(self, samples: int) -> int:
        return self._steps(self.fbank.frames(samples)) * self.bands

    def encode(self, waves: Tensor) -> list[Tensor]:
        mels = self.fbank(waves)
        steps = self._steps(mels.shape[1])
        mels = pad(mels, (0, 0, 0, self.config.max_length - mels.shape[1]))
        if self.extractor.do_normalize:
            mels = (mels - self.extractor.mean) / (2 * self.extractor.std)
        layers = _layers(self.net(mels, output_hidden_states=True))
        shape = (len(waves), self.bands, self.all_steps, self.width)
        by_band = [layer[:, 2:].reshape(shape) for layer in layers]  # the first two are no patches
        return [layer[:, :, :steps].transpose(1, 2).flatten(1, 2) for layer in by_band]

    def _steps(self, mel_frames: int) -> int:
        return max(0, (mel_frames - self.patch) // self.stride + 1)


class Clap(Encoder):
    """The sound encoder of CLAP, Wu et al. 2023, whose stages have different widths: the last one is its only layer.

    A short piece is repeated up to the length of the net's input, as the package does it; frames are those of its first
    copy. A net with fusion gets each piece as a short clip, so that nothing is random.
    """

    def __init__(self, net: Any, extractor: Any) -> None:
        super().__init__()
        self.net, self.extractor = net, extractor
        self.rate, self.longest = extractor.sampling_rate, extractor.nb_max_samples
        fused = extractor.truncation == "fusion"
        filters = extractor.mel_filters if fused else extractor.mel_filters_slaney
        self.spectra = MelSpectra(torch.from_numpy(filters), extractor.fft_window_size, extractor.hop_length)
        self.pictures = 4 if net.config.enable_fusion else 1
        stages = len(net.config.depths)
        side = net.config.spec_size // 2 ** (stages - 1) // net.patch_stride[0]
        self.layers, self.width, self.bands = 1, net.num_features, int(side // net.freq_ratio)
        self.all_steps = int(side * net.freq_ratio)

    def piece_frames(self, samples: int) -> int:
        return max(1, round(self.all_steps * samples / self.longest)) * self.bands

    def encode(self, waves: Tensor) -> Tensor:
        count, samples = waves.shape
        copies = waves.repeat(1, self._copies(samples))
        mels = 10 * self.spectra(pad(copies, (0, self.longest - copies.shape[1])).double()).log10()
        pictures = mels.float()[:, None].expand(-1, self.pictures, -1, -1)
        last: Tensor = self.net(pictures, is_longer=torch.zeros(count, 1, device=waves.device)).last_hidden_state
        steps = self.piece_frames(samples) // self.bands
        return last[..., :steps].permute(0, 3, 2, 1).flatten(1, 2)[:, None]  # from [n, width, bands, steps]

    def _copies(self, samples: int) -> int:
        padding = self.extractor.padding
        if padding not in ("repeatpad", "pad"):
            raise AsdRayError(f"the feature extractor of CLAP pads with {padding!r}; only repeatpad and pad are known")
        return self.longest // samples if padding == "repeatpad" else 1


class Speech(Encoder):
    """wav2vec 2.0, HuBERT and WavLM: convolutions of the wave, then a transformer; one frame every 20 ms as a rule."""

    def __init__(self, net: Any, extractor: Any) -> None:
        super().__init__()
        self.net, self.extractor, self.config = net, extractor, (config := net.config)
        net.adapter = None
        config.layerdrop, config.apply_spec_augment = 0.0, False
        self.rate, self.longest = extractor.sampling_rate, SPEECH_SECONDS * extractor.sampling_rate
        self.layers, self.width = config.num_hidden_layers, config.hidden_size

    def piece_frames(self, samples: int) -> int:
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            samples = max(0, (samples - kernel) // stride + 1)
        return samples

    def encode(self, waves: Tensor) -> list[Tensor]:
        if self.extractor.do_normalize:
            centred = waves - waves.mean(1, keepdim=True)
            waves = centred / (centred.square().mean(1, keepdim=True) + 1e-7).sqrt()
        return _layers(self.net(waves, output_hidden_states=True))


class Whisper(Encoder):
    """The encoder of Whisper, Radford et al. 2023. Its input is always as long as its longest: silence follows a piece.

    Frames are those of the sound, 20 ms each as a rule.
    """

    def __init__(self, net: Any, extractor: Any) -> None:
        super().__init__()
        self.net, config = net, net.config
        net.layerdrop = 0.0
        self.rate, self.longest = extractor.sampling_rate, extractor.n_samples
        self.spectra = MelSpectra(torch.from_numpy(extractor.mel_filters), extractor.n_fft, extractor.hop_length)
        self.hop = int(extractor.hop_length * net.conv1.stride[0] * net.conv2.stride[0])
        self.layers, self.width = config.encoder_layers, config.d_model

    def piece_frames(self, samples: int) -> int:
        return samples // self.hop

    def encode(self, waves: Tensor) -> list[Tensor]:
        levels = self.spectra(pad(waves, (0, self.longest - waves.shape[1])))[:, :-1].log10()
        levels = torch.maximum(levels, levels.amax((1, 2), keepdim=True) - 8)
        layers = _layers(self.net((levels.transpose(1, 2) + 4) / 4, output_hidden_states=True))
        return [layer[:, : self.piece_frames(waves.shape[1])] for layer in layers]


def _layers(outputs: Any) -> list[Tensor]:
    """The blocks' outputs, each [n, frames, width], the last one after normalisation."""
    return [*outputs.hidden_states[1:-1], outputs.last_hidden_state]


@dataclass(frozen=True)
class Reader:
    """How the folder of one net is read."""

    adapter: Callable[[Any, Any], Encoder]
    model: str  # class of transformers
    extractor: str  # class of transformers
    types: tuple[str, ...]  # `model_type` of config.json
    part: str = ""  # attribute of the model that is the encoder; other weights may be missing


READERS: dict[str, Reader] = {
    "ast": Reader(Ast, "ASTModel", "ASTFeatureExtractor", ("audio-spectrogram-transformer",)),
    "clap": Reader(
        Clap,
        "ClapAudioModelWithProjection",
        "ClapFeatureExtractor",
        ("clap", "clap_audio_model"),
        "audio_model.audio_encoder",
    ),
    "wav2vec2": Reader(Speech, "Wav2Vec2Model", "Wav2Vec2FeatureExtractor", ("wav2vec2",)),
    "hubert": Reader(Speech, "HubertModel", "Wav2Vec2FeatureExtractor", ("hubert",)),
    "wavlm": Reader(Speech, "WavLMModel", "Wav2Vec2FeatureExtractor", ("wavlm",)),
    "whisper": Reader(Whisper, "WhisperModel", "WhisperFeatureExtractor", ("whisper",), "encoder"),
}
ADAPTER = "adapter_config.json"  # of the package peft
UNUSED = "masked_spec_embed"  # of nets of speech: only masking in pre-training reads it


def build(net: str, path: str) -> Encoder:
    """The encoder of a local folder. AsdRayError if the folder holds another one, or weights in a pickle."""
    reader, folder = READERS[net], Path(path)
    if not list(folder.glob("*.safetensors")):
        raise AsdRayError(
            f"{path}: no weights in safetensors, and a pickle such as pytorch_model.bin is not read, because it may "
            "run code; convert it once: AutoModel.from_pretrained(folder).save_pretrained(folder) of transformers"
        )
    config = _read(net, path, lambda: transformers.PreTrainedConfig.get_config_dict(path, local_files_only=True)[0])
    if (found := config.get("model_type")) not in reader.types:
        raise AsdRayError(
            f"{path}: config.json is of {found!r}, but {net} needs a model of {' or '.join(map(repr, reader.types))}; "
            "name another folder, or another encoder"
        )
    if "quantization_config" in config:
        raise AsdRayError(f"{path}: config.json has a quantization_config, which is not supported; bring the whole net")
    if (folder / ADAPTER).exists():
        raise AsdRayError(f"{path}: {ADAPTER} has the package load another net; merge the adapter into the weights")
    extractor_class, model_class = getattr(transformers, reader.extractor), getattr(transformers, reader.model)
    how = {
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
        "output_loading_info": True,
        "dtype": torch.float32,  # a folder may name another one
        "attn_implementation": "sdpa" if model_class._supports_sdpa else "eager",  # a folder may name code of a hub
    }
    extractor = _read(net, path, lambda: extractor_class.from_pretrained(path, local_files_only=True))
    model, report = _read(net, path, lambda: model_class.from_pretrained(path, **how))
    missing = [key for key in report["missing_keys"] if key.startswith(reader.part) and not key.endswith(UNUSED)]
    if missing:
        raise AsdRayError(f"{path}: its weights lack {len(missing)} tensors of {net}, such as {missing[0]}; bring all")
    return reader.adapter(model.get_submodule(reader.part), extractor)


def _read(net: str, path: str, read: Callable[[], Any]) -> Any:
    """What `read` returns. The package prints nothing meanwhile."""
    log: Any = package_log
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(logging.CRITICAL)
    log.disable_progress_bar()
    try:
        return read()
    except Exception as error:  # a broken folder may raise anything in the package
        raise AsdRayError(
            f"{path}: transformers cannot read it as {net} ({type(error).__name__}: {error}); bring the whole folder "
            "of the model"
        ) from error
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
