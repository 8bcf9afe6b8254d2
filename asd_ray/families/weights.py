"""Files of pretrained weights that a user brings: which net has one, and where it is.

No weights are shipped or fetched. A file is named after its net, such as ``mobilenet_v3.safetensors``, and lies in the
folder of $ASD_RAY_WEIGHTS; or it is named with ``--weights mobilenet_v3=FILE``. Some encoders are folders with a
config.json, such as ``ast``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asd_ray.errors import AsdRayError

WEIGHTS_VARIABLE = "ASD_RAY_WEIGHTS"
BROUGHT_VARIABLE = "ASD_RAY_BROUGHT_WEIGHTS"  # JSON, net -> file; set by `brought` for the processes that it starts
SUFFIXES = (".safetensors", ".pt", ".pth")  # of two files with one name, the earlier suffix counts
GRAPHS = {"onnx": ".onnx", "exported": ".pt2"}  # nets that are files of one kind alone
FOLDERS = ("ast", "clap", "hubert", "wav2vec2", "wavlm", "whisper")  # nets that are folders
CONFIG = "config.json"  # in the folder of an encoder
SHOWN = 5  # names of a folder in a message
ENCODERS = {  # net -> the package that it needs, "" for none; pyproject.toml has the same as extras
    **dict.fromkeys(FOLDERS, "transformers>=5.0"),
    "beats": "openbeats>=0.1.1",
    "dasheng": "dasheng>=0.0.9",
    "passt": "hear21passt>=0.0.26",
    "onnx": "onnxruntime>=1.20",
    "exported": "",
}
PARAMETER = "pretrained"  # of a trial that starts from such weights: the net and a hash of them, "mobilenet_v3:1a2b…"


def weights_files(given: Mapping[str, str | Path] | None = None) -> dict[str, str]:
    """Net -> the absolute path of its file or folder: what is in the folder of $ASD_RAY_WEIGHTS, replaced by `given`.

    Within `brought`, its files replace those of the folder, too.
    A folder, .onnx and .pt2 count for the nets alone that take them. AsdRayError if the folder or a given file does not
    exist. No file is read.
    """
    files: dict[str, str] = {}
    if folder := os.environ.get(WEIGHTS_VARIABLE):
        place = Path(os.path.expanduser(folder)).absolute()
        if not place.is_dir():
            raise AsdRayError(
                f"{place}: no such folder, but ${WEIGHTS_VARIABLE} names it for pretrained weights; name a folder, or "
                "unset the variable"
            ) from FileNotFoundError(2, "no folder", str(place))
        for suffix in reversed(SUFFIXES):
            files |= {path.stem: str(path) for path in sorted(place.glob(f"*{suffix}"))}
        files = {net: path for net, path in files.items() if net not in GRAPHS and net not in FOLDERS}
        graphs = {net: place / f"{net}{suffix}" for net, suffix in GRAPHS.items()}
        files |= {net: str(path) for net, path in graphs.items() if path.is_file()}
        files |= {net: str(place / net) for net in FOLDERS if (place / net / CONFIG).is_file()}
    files |= _brought()
    given = {} if given is None else given
    if not isinstance(given, Mapping) or not all(isinstance(path, str | Path) for path in given.values()):
        raise AsdRayError(f'weights must map nets to files, such as {{"mobilenet_v3": "file.pt"}}, not {given!r:.60}')
    for net, path in given.items():
        own = Path(os.path.expanduser(path)).absolute()
        if own.is_dir() and not (own / CONFIG).is_file():
            raise AsdRayError(
                f"{own}: a folder without {CONFIG}, but --weights names it for {net}; name a file, or the folder of an "
                "encoder"
            )
        if not own.is_file() and not own.is_dir():
            raise AsdRayError(
                f"{own}: no such file, but --weights names it for {net}; name a file of pretrained weights, or leave "
                "the option out"
            )
        files[net] = str(own)
    return files


def misnamed(nets: Sequence[str]) -> str:
    """A sentence on what lies in the folder of $ASD_RAY_WEIGHTS where none of the `nets` does; "" if that is empty."""
    folder = os.environ.get(WEIGHTS_VARIABLE)
    if not folder or any(net in nets for net in weights_files()):
        return ""
    found = sorted(path.name for path in Path(os.path.expanduser(folder)).iterdir())
    if not found:
        return ""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return (
        f"; that folder has {', '.join(found[:SHOWN])}{more}, but a file or folder there must be named after its net, "
        "in small letters, such as beats.pt or ast/"
    )


@contextmanager
def brought(given: Mapping[str, str | Path]) -> Iterator[None]:
    """Within it, every detector of this process and of those that it starts finds these files.

    For a verb that loads trained detectors: a search gets its files by its configuration, which other nodes read, too.
    AsdRayError if a file does not exist.
    """
    before = os.environ.get(BROUGHT_VARIABLE)
    files = weights_files(given)
    try:
        if given:
            os.environ[BROUGHT_VARIABLE] = json.dumps({net: files[net] for net in given})
        yield
    finally:
        os.environ.pop(BROUGHT_VARIABLE, None)
        if before is not None:
            os.environ[BROUGHT_VARIABLE] = before


def _brought() -> dict[str, str]:
    try:
        files = json.loads(os.environ.get(BROUGHT_VARIABLE) or "{}")
        return {str(net): str(path) for net, path in files.items()}
    except (ValueError, AttributeError) as error:
        raise AsdRayError(f"${BROUGHT_VARIABLE} is no JSON of nets and files ({error}); unset it") from error


def places_of(net: str, files: Mapping[str, str]) -> Iterator[str]:
    """Where weights of a net may lie on this node: where the search names them, then in its own $ASD_RAY_WEIGHTS."""
    named = files.get(net)
    if named:
        yield named
    own = weights_files().get(net)
    if own and own != named:
        yield own


def needed_encoders(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The encoders that trained detectors with these parameters need, by net and content: ``ast:1a2b3c4d5e6f``.

    The state of a detector holds no encoder. Other nets that started from weights of the user are in it.
    """
    names = {str(params.get(PARAMETER, "")) for params in settings}
    return sorted(name for name in names if name.partition(":")[0] in ENCODERS)


def weights_options(encoders: Iterable[str]) -> list[str]:
    """The words of a command that bring these encoders: ``--weights ast=FILE`` for ``ast:1a2b3c4d5e6f``."""
    nets = sorted({name.partition(":")[0] for name in encoders})
    return [word for net in nets for word in ("--weights", f"{net}=FILE")]


def read_weights(texts: Sequence[str]) -> dict[str, str]:
    """Texts such as ``mobilenet_v3=/path/file.pt`` as a dictionary."""
    given: dict[str, str] = {}
    for text in texts:
        net, sign, path = text.partition("=")
        if not (sign and net and path):
            raise AsdRayError(f"--weights {text}: give NET=FILE, such as mobilenet_v3=/path/mobilenet_v3.pt")
        if net in given:
            raise AsdRayError(f"--weights {text}: {net} has a file already, {given[net]}; give one")
        given[net] = path
    return given
