"""MIMII as published: ``[<SNR>/]fan/id_00/{normal,abnormal}/00000000.wav``, 8 channels, without a train/test split."""

from __future__ import annotations

import re
from collections import defaultdict

from asd_ray.clips._tree import File, Tree
from asd_ray.clips.layouts._base import Member, Named, drawn_clips, drawn_note
from asd_ray.clips.table import ANOMALY, NORMAL

_ID = re.compile(r"id_(\d{2})")
# `-6_dB_fan`, `6dB`, `0_dB`, `min6dB`, `minus6dB`: the names of the archives, and common renamings.
_SNR = re.compile(r"(?:.*[_-])?(?P<sign>-|min|minus|m)?_?(?P<db>\d+)_?dB(?:_.*)?", re.IGNORECASE)
_LABEL = {"normal": NORMAL, "abnormal": ANOMALY}


class Mimii:
    name = "mimii"
    year = None
    expected = "fan/id_00/normal/00000000.wav"

    def claims(self, tree: Tree) -> int:
        return sum(self._place(file, tree.root.name) is not None for file in tree.audio)

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named:
        named = Named(split_seed=split_seed)
        groups: dict[tuple[str, str], list[Member]] = defaultdict(list)
        for file in tree.audio:
            place = self._place(file, tree.root.name)
            if place is None:
                named.misnamed.append(file)
                continue
            machine, id, folder, snr = place
            attributes = {"snr": snr} if snr else {}
            groups[machine, id].append((file, f"id_{id}/{folder}/{file.stem}.wav", _LABEL[folder], attributes))
        named.clips = drawn_clips(groups, split_seed)
        named.problems.append(drawn_note(split_seed))
        return named

    def _place(self, file: File, root_name: str) -> tuple[str, str, str, str] | None:
        """(machine, id, label folder, SNR).

        Below an SNR folder inside the root, machines are named `fan_-6dB` and `fan_6dB`: one machine at two SNRs is
        two tasks in the paper.
        """
        parts = (root_name, *file.folders)
        if len(parts) < 3 or parts[-1] not in _LABEL:
            return None
        id = _ID.fullmatch(parts[-2])
        if id is None:
            return None
        machine = parts[-4] if snr_of(parts[-3]) and len(parts) > 3 else parts[-3]  # fan/6dB/id_00 or 6dB/fan/id_00
        snrs = [(depth, snr) for depth, part in enumerate(parts[:-2]) if part != machine and (snr := snr_of(part))]
        depth, snr = snrs[-1] if snrs else (0, "")
        is_below_root = depth > 0
        return (f"{machine}_{snr}" if is_below_root else machine), id[1], parts[-1], snr


def snr_of(folder: str) -> str:
    """``-6_dB_fan`` -> ``-6dB``; "" if the name contains no SNR."""
    match = _SNR.fullmatch(folder)
    if match is None:
        return ""
    minus = bool(match["sign"]) or f"-{match['db']}" in folder
    return f"{'-' if minus else ''}{int(match['db'])}dB"
