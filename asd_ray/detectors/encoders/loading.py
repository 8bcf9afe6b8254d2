"""The table of encoders, and how one is loaded from the user's file: by the content of the file, never by its path.

An adapter is a module of this folder with a function ``build(net, path) -> Encoder``. It is imported when an encoder of
it is loaded, so that its package is needed only then. It runs no code from the file.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.parts.weights import DIGITS, named_content, pretrained_name, unreadable, version
from asd_ray.errors import AsdRayError, unknown
from asd_ray.families.weights import FOLDERS, WEIGHTS_VARIABLE

HERE = "asd_ray.detectors.encoders"
CHUNK = 1 << 22  # bytes that are hashed at once
IN_FOLDERS = ("*.json", "*.safetensors")  # the files of a folder that count: all that transformers may read


@dataclass(frozen=True)
class Adapter:
    """How the file of one net is read."""

    module: str  # of this folder, with ``build(net, path) -> Encoder``
    extra: str  # of our package, which installs what the module imports; "" if nothing
    expected: str  # what the user brings


def _from_transformers(net: str) -> Adapter:
    expected = f"the folder of a model of transformers ({net}): config.json, preprocessor_config.json, *.safetensors"
    return Adapter("transformers_nets", "transformers", expected)


NETS: Mapping[str, Adapter] = {
    "ast": _from_transformers("AST"),
    "beats": Adapter("beats", "beats", "a checkpoint of BEATs or OpenBEATs"),
    "dasheng": Adapter("dasheng", "dasheng", "a checkpoint of Dasheng"),
    "passt": Adapter("passt", "passt", "a state dict of PaSST"),
    "onnx": Adapter("exported", "exported", "a file of ONNX, waves in and embeddings out"),
    "exported": Adapter("exported", "", "a program of torch.export, waves in and embeddings out"),
    "clap": _from_transformers("CLAP"),
    "wav2vec2": _from_transformers("wav2vec 2.0"),
    "hubert": _from_transformers("HuBERT"),
    "wavlm": _from_transformers("WavLM"),
    "whisper": _from_transformers("Whisper"),
}


def encoder_name(net: str, path: str) -> str:
    """What a trial with this encoder has as its parameter `pretrained`: the net, and a hash of its files.

    An unchanged file is read once per process.
    """
    place = Path(path)
    files = _files_of(net, place)
    try:
        content = [(file.name, _digest(str(file), version(file))) for file in files]
    except OSError as error:
        raise unreadable(path, error) from error
    if files == [place]:
        return f"{net}:{content[0][1][:DIGITS]}"
    text = "\n".join(f"{name} {own}" for name, own in content)
    return f"{net}:{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"


def name_of(net: str, path: str) -> str:
    """`encoder_name` of an encoder; of other nets that start from weights, `pretrained_name`."""
    return encoder_name(net, path) if net in NETS else pretrained_name(net, path)


def _files_of(net: str, place: Path) -> list[Path]:
    """The file, or the files of the folder that count. The cause is an OSError where only this node may be wrong."""
    if place.is_dir() and not any(place.iterdir()):
        why = FileNotFoundError(2, "empty folder", str(place))
        raise AsdRayError(f"{place}: the folder is empty; mount it, or give {NETS[net].expected}") from why
    if place.is_dir() and net not in FOLDERS:
        raise AsdRayError(f"{place}: {net} needs a file, not a folder; give {NETS[net].expected}")
    if place.is_file() and net in FOLDERS:
        raise AsdRayError(f"{place}: {net} needs a folder, not a file; give {NETS[net].expected}")
    files = sorted({file for pattern in IN_FOLDERS for file in place.glob(pattern)}) if place.is_dir() else [place]
    if not files:
        raise AsdRayError(f"{place}: the folder holds no encoder; give one with {' and '.join(IN_FOLDERS)}")
    return files


@lru_cache(maxsize=256)
def _digest(path: str, _: tuple[int, ...]) -> str:
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            content.update(chunk)
    return content.hexdigest()


def path_of(pretrained: str, files: Mapping[str, str]) -> str:
    """The file or folder of the encoder that `pretrained` names. `files` are those of the trial's `Context`.

    The cause of the AsdRayError for a missing or another file is an OSError: the trial may run on another node.
    """
    net = pretrained.partition(":")[0]
    if net not in NETS:
        raise unknown("encoder", net, NETS)
    cure = (
        f"bring {NETS[net].expected}, the one with which the trial was first run, on every node: as {net} in the "
        f"folder of ${WEIGHTS_VARIABLE}, or with --weights {net}=PATH"
    )
    return named_content(pretrained, files, lambda path: (encoder_name(net, path), path), "encoder", cure)


def load_encoder(pretrained: str, files: Mapping[str, str]) -> Encoder:
    """The encoder that `pretrained` names, such as ``ast:1a2b3c4d5e6f``, on the CPU, in eval mode, weights frozen."""
    path = path_of(pretrained, files)
    net = pretrained.partition(":")[0]
    adapter = NETS[net]
    try:
        module = importlib.import_module(f"{HERE}.{adapter.module}")
    except (ImportError, RuntimeError, OSError) as error:  # the latter two: it was built for another torch
        raise AsdRayError(
            f"the encoder {net} needs a package that cannot be imported ({error}); pip install "
            f"'asd_ray[{adapter.extra}]'"
        ) from error
    encoder: Encoder = module.build(net, path)
    return encoder.eval().requires_grad_(False)
