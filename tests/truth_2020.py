"""The truth of DCASE 2020 for one machine, and one system's scores, as the files of the organisers."""

from __future__ import annotations

from pathlib import Path


def write_truth(folder: Path) -> Path:
    """Write the folders `truth`, which is returned, and `system` into `folder`."""
    clips = [(f"id_01_{number:08d}.wav", number % 2) for number in range(6)]
    for name in ("truth", "system"):
        (folder / name).mkdir()
    lines = "\n".join(["fan", *(f"{clip},{label}_{clip},{label}" for clip, label in clips)])
    (folder / "truth/eval_data_list.csv").write_text(lines)
    scores = "\n".join(f"{clip},0.{at}" for at, (clip, _) in enumerate(clips))
    (folder / "system/anomaly_score_fan_id_01.csv").write_text(scores)
    return folder / "truth"
