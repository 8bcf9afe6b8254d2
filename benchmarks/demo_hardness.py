"""Print how hard the demo set is: the results of seven simple detectors, one table per machine.

    python benchmarks/demo_hardness.py FOLDER [--size small] [--seed 0] [--by-fault]

FOLDER gets the demo set if it does not have one yet. AUC and pAUC are defined as in DCASE 2022: the normal clips of a
domain against all anomalies of the id, and pAUC up to a false-positive rate of 0.1. hmean is the harmonic mean of AUC
source, AUC target and pAUC over the ids.

On a good demo set no detector reaches 1.0 everywhere, none is useless everywhere, and none wins on every machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import soundfile as sf
from scipy.stats import hmean
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from asd_ray.clips.demo import MACHINES, SIZES, make_demo
from asd_ray.clips.demo.plan import DemoClip, planned

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    clip: DemoClip
    kind: str  # of fault
    severity: float
    loudness: float  # dB
    mel: Array  # dB, frames × 64 bands


# ---- features: one vector per clip ----------------------------------------------------------------------------------


def mean_mel(heard: Heard) -> Array:
    mean: Array = heard.mel.mean(axis=0)
    return mean


def spread_mel(heard: Heard) -> Array:
    """The peak above the median and the standard deviation of each band."""
    mel = heard.mel
    return np.concatenate([mel.max(axis=0) - np.median(mel, axis=0), 3 * mel.std(axis=0)])


def rhythm(heard: Heard) -> Array:
    """The modulation spectrum of eight wide bands, up to 16 Hz, on a log scale."""
    wide = heard.mel.reshape(len(heard.mel), 8, -1).mean(axis=2)
    swing = np.abs(np.fft.rfft((wide - wide.mean(axis=0)) * np.hanning(len(wide))[:, None], axis=0))
    return np.log(swing / len(wide) + 0.02).ravel()


def loudness(heard: Heard) -> Array:
    return np.array([heard.loudness])


# ---- detectors: (training clips of the machine, test clips of one id, the id) -> scores ------------------------------


def nearest(vector: Callable[[Heard], Array]) -> Callable[[Sequence[Heard], Sequence[Heard], int], Array]:
    def score(train: Sequence[Heard], test: Sequence[Heard], unit: int) -> Array:
        known = np.stack([vector(h) for h in train if h.clip.unit == unit])
        distance, _ = NearestNeighbors(n_neighbors=1).fit(known).kneighbors(np.stack([vector(h) for h in test]))
        return np.asarray(distance[:, 0], dtype=float)

    return score


def mahalanobis(train: Sequence[Heard], test: Sequence[Heard], unit: int) -> Array:
    known = np.stack([mean_mel(h) for h in train if h.clip.unit == unit])
    return np.asarray(LedoitWolf().fit(known).mahalanobis(np.stack([mean_mel(h) for h in test])), dtype=float)


def frame_error(train: Sequence[Heard], test: Sequence[Heard], unit: int) -> Array:
    """The mean squared error of 24 principal components on five neighbouring frames: a linear autoencoder."""

    def frames(mel: Array) -> Array:
        return np.lib.stride_tricks.sliding_window_view(mel, 5, axis=0).reshape(len(mel) - 4, -1)

    model = PCA(24, random_state=0).fit(np.concatenate([frames(h.mel)[::4] for h in train if h.clip.unit == unit]))

    def error(mel: Array) -> float:
        seen = frames(mel)
        return float(np.mean((seen - model.inverse_transform(model.transform(seen))) ** 2))

    return np.array([error(h.mel) for h in test])


def which_id(train: Sequence[Heard], test: Sequence[Heard], unit: int) -> Array:
    """The log-odds against the clip's own id, from a classifier of ids."""
    scaler = StandardScaler().fit(np.stack([mean_mel(h) for h in train]))
    model = LogisticRegression(C=0.05, max_iter=500)
    model.fit(scaler.transform(np.stack([mean_mel(h) for h in train])), [h.clip.unit for h in train])
    logits = model.decision_function(scaler.transform(np.stack([mean_mel(h) for h in test])))
    others = np.delete(logits, unit, axis=1)
    return np.asarray(np.logaddexp.reduce(others, axis=1) - logits[:, unit], dtype=float)


DETECTORS: dict[str, Callable[[Sequence[Heard], Sequence[Heard], int], Array]] = {
    "1 nearest mean": nearest(mean_mel),
    "2 mahalanobis": mahalanobis,
    "3 nearest spread": nearest(spread_mel),
    "4 frame error": frame_error,
    "5 which id": which_id,
    "6 nearest rhythm": nearest(rhythm),
    "7 loudness only": nearest(loudness),
}


# ---- the table ------------------------------------------------------------------------------------------------------


def hear(folder: Path, clip: DemoClip, seed: int) -> Heard:
    samples, rate = sf.read(folder / "dev_data" / clip.machine / clip.split / clip.name)
    mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=1024, hop_length=512, n_mels=64, power=2.0)
    fault = clip.fault(seed)
    level = 10 * np.log10(np.mean(samples**2))
    return Heard(clip, fault.kind, fault.severity, float(level), 10 * np.log10(mel.T + 1e-10))


def judge(scores: Array, clips: Sequence[Heard]) -> dict[str, float]:
    """The AUC of both domains and the pAUC, for the clips of one id."""
    truth = np.array([h.clip.label == "anomaly" for h in clips])
    judged = {"p": float(roc_auc_score(truth, scores, max_fpr=0.1))}
    for domain in ("source", "target"):
        heard = truth | np.array([h.clip.domain == domain for h in clips])
        judged[domain] = float(roc_auc_score(truth[heard], scores[heard]))
    return judged


def by_fault(scores: Array, clips: Sequence[Heard]) -> dict[str, list[float]]:
    """Fault kind -> for each anomaly, the share of normal clips of its domain with a lower score."""
    found: dict[str, list[float]] = {}
    for score, heard in zip(scores, clips, strict=True):
        if heard.clip.label == "anomaly":
            rivals = scores[[h.clip.label == "normal" and h.clip.domain == heard.clip.domain for h in clips]]
            found.setdefault(heard.kind, []).append(float(np.mean(score > rivals)))
    return found


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("folder", type=Path)
    ask.add_argument("--size", default="small", choices=SIZES)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--machines", nargs="+", default=list(MACHINES), choices=list(MACHINES))
    ask.add_argument("--by-fault", action="store_true", help="also the AUC of each kind of fault")
    args = ask.parse_args()
    chosen = None if set(args.machines) == set(MACHINES) else args.machines
    folder = make_demo(args.folder, size=args.size, seed=args.seed, machines=chosen)
    winners = {}
    for machine in args.machines:
        with ThreadPoolExecutor(2) as pool:
            heard = list(pool.map(lambda clip: hear(folder, clip, args.seed), planned(SIZES[args.size], machine)))
        winners[machine] = show(machine, heard, args.by_fault)
    print("\nbest (protocol oracle): " + ", ".join(f"{machine}: {name}" for machine, name in winners.items()))


def show(machine: str, heard: Sequence[Heard], faults: bool) -> str:
    """Print the table of one machine and return the best detector's name."""
    train = [h for h in heard if h.clip.split == "train"]
    print(f"\n{machine:18} AUC source  AUC target        pAUC       hmean")
    means: dict[str, float] = {}
    for name, score in DETECTORS.items():
        cells: list[dict[str, float]] = []
        kinds: dict[str, list[float]] = {}
        for unit in sorted({h.clip.unit for h in heard}):
            test = [h for h in heard if h.clip.split == "test" and h.clip.unit == unit]
            scores = score(train, test, unit)
            cells.append(judge(scores, test))
            for kind, shares in by_fault(scores, test).items():
                kinds.setdefault(kind, []).extend(shares)
        columns = [float(hmean([cell[key] for cell in cells])) for key in ("source", "target", "p")]
        means[name] = float(hmean([value for cell in cells for value in cell.values()]))
        print(f"{name:18} " + "".join(f"{value:10.3f}  " for value in [*columns, means[name]]))
        if faults:
            print("    " + "  ".join(f"{kind} {np.mean(kinds[kind]):.2f}" for kind in sorted(kinds)))
    return max(means, key=lambda name: means[name])


if __name__ == "__main__":
    main()
