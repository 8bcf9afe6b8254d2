"""Small encoders of the true architectures with random weights, in folders as the package transformers saves them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import asd_ray.detectors.encoders.transformers_nets  # noqa: F401  it makes the package importable on every computer

import transformers  # isort: skip

SPEECH: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 8,
}
CONFIGS: dict[str, Any] = {
    "ast": lambda: transformers.ASTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24
    ),
    "clap": lambda: transformers.ClapConfig(
        text_config={"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8},
        audio_config={
            "patch_embeds_hidden_size": 8,
            "depths": [1, 1, 1, 2],
            "num_attention_heads": [1, 1, 2, 2],
            "hidden_size": 64,
        },
    ),
    "wav2vec2": lambda: transformers.Wav2Vec2Config(**SPEECH),
    "hubert": lambda: transformers.HubertConfig(**SPEECH, feat_extract_norm="layer", do_stable_layer_norm=True),
    "wavlm": lambda: transformers.WavLMConfig(**SPEECH),
    "whisper": lambda: transformers.WhisperConfig(
        d_model=16, encoder_layers=3, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2
    ),
}
# The classes that users' folders are saved from, as a rule with more than the encoder, and the feature extractors.
CLASSES = {
    "ast": ("ASTForAudioClassification", "ASTFeatureExtractor"),
    "clap": ("ClapModel", "ClapFeatureExtractor"),
    "wav2vec2": ("Wav2Vec2ForCTC", "Wav2Vec2FeatureExtractor"),
    "hubert": ("HubertModel", "Wav2Vec2FeatureExtractor"),
    "wavlm": ("WavLMModel", "Wav2Vec2FeatureExtractor"),
    "whisper": ("WhisperForConditionalGeneration", "WhisperFeatureExtractor"),
}


def save_tiny(net: str, folder: Path, seed: int = 0, config: Mapping[str, Any] | None = None, **extractor: Any) -> Any:
    """Save a net to `folder`, and return it as the package has it. `config` and `extractor` have settings."""
    model, extractor_class = CLASSES[net]
    own = CONFIGS[net]()
    own.update(config or {})
    if net == "clap":
        own.audio_config.enable_fusion = extractor.get("truncation", "fusion") == "fusion"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        saved = getattr(transformers, model)(own).eval()
    saved.save_pretrained(folder)
    getattr(transformers, extractor_class)(**extractor).save_pretrained(folder)
    return saved
