from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

# A torchaudio whose extension fails to load (OSError), or loads; our import must work in both cases.
FAKE = """
import importlib.abc, importlib.machinery, sys, types
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio" or name.startswith("torchaudio."):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def exec_module(self, module):
        if module.__name__ == "torchaudio._extension":
            if {broken}:
                raise OSError("libcudart.so: cannot open shared object file")
            module._IS_TORCHAUDIO_EXT_AVAILABLE = True
        if module.__name__ == "torchaudio":
            from torchaudio import _extension
            module.extension = _extension
sys.meta_path.insert(0, Finder())
from asd_ray._torchaudio import torchaudio
print(torchaudio.extension._IS_TORCHAUDIO_EXT_AVAILABLE)
"""


@pytest.mark.parametrize(("broken", "available"), [(True, "False"), (False, "True")])
def test_the_extension_is_replaced_only_where_it_cannot_be_loaded(broken: bool, available: str) -> None:
    code = textwrap.dedent(FAKE.format(broken=broken))
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == available


def test_the_real_torchaudio_transforms() -> None:
    import torch

    from asd_ray._torchaudio import transforms

    assert transforms.MelSpectrogram(16_000, n_mels=40)(torch.randn(1, 16_000)).isfinite().all()
    assert transforms.Resample(48_000, 16_000)(torch.randn(1, 48_000)).shape == (1, 16_000)
