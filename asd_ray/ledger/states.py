"""What trained detectors have learned: one file per trial beside the ledger, written and removed whole.

The ledger stays the only truth. A state belongs to a complete trial and may be missing; it is then learned again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from asd_ray.ledger.store import Ledger
from asd_ray.storage.files import Stored

if TYPE_CHECKING:
    import pandas as pd

ENDING = ".safetensors"
KEYS = ("split", "variant", "clip")  # which name a score of a trial


def scores_digest(scores: pd.DataFrame) -> str:
    """A hash of a trial's scores of one machine: a state holds that of the scores which its detector gave."""
    rows = scores.astype({name: str for name in KEYS}).sort_values(list(KEYS))
    names = "\n".join("\x1f".join(row) for row in rows[list(KEYS)].itertuples(index=False, name=None))
    values = rows["score"].to_numpy("float32").tobytes()
    return hashlib.blake2b(names.encode("utf-8", "replace") + values, digest_size=10).hexdigest()


class States:
    """The states of a run. Their content is bytes here; `asd_ray.detectors.state_file` reads and writes it."""

    def __init__(self, ledger: Ledger) -> None:
        self.layout, self.files = ledger.layout, ledger.files

    def put(self, family: str, trial: str, content: bytes) -> None:
        """Store a state, all or nothing. StorageError if the disk or S3 refuses it."""
        self.files.patient().put(self.layout.state_file(family, trial), content)

    def read(self, family: str, trial: str) -> bytes | None:
        """The content of a state's file; None if it was not kept."""
        path = self.layout.state_file(family, trial)
        if self.files.stat(path) is None:
            return None
        try:
            with self.files.open(path) as file:
                return bytes(file.read())
        except FileNotFoundError:  # removed meanwhile
            return None

    def has_all(self, trials: Iterable[tuple[str, str]]) -> bool:
        """Whether the states of all these trials were kept; each is a family and a trial's hash."""
        wanted = list(trials)
        kept = {family: self.of_family(family) for family in {family for family, _ in wanted}}
        return all(trial in kept[family] for family, trial in wanted)

    def of_family(self, family: str) -> dict[str, Stored]:
        """Trial -> the file of its state."""
        return {
            stored.name.removesuffix(ENDING): stored
            for stored in self.files.list(self.layout.states_folder(family))
            if stored.name.endswith(ENDING) and not stored.name.startswith(".") and not stored.kind
        }

    def remove(self, family: str, trial: str) -> None:
        self.files.remove(self.layout.state_file(family, trial))

    def bytes_by_family(self) -> dict[str, tuple[int, int]]:
        """Family -> number of states, and their bytes."""
        sizes: dict[str, tuple[int, int]] = {}
        for stored in self.files.list(self.layout.states):
            family = stored.path.removeprefix(f"{self.layout.states}/").partition("/")[0]
            if stored.name.endswith(ENDING) and not stored.name.startswith("."):
                count, size = sizes.get(family, (0, 0))
                sizes[family] = (count + 1, size + stored.size)
        return sizes
