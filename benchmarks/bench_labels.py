"""What labels are worth: every classifier with real labels, with those of each clustering, and with none.

    python -m benchmarks.bench_labels FOLDER [--families …] [--labels real,kmeans] [--machines fan,valve] [--seeds 2]

prints tables in Markdown of the harmonic mean of AUC and pAUC on the demo set: of the best variant, which test labels
choose, and of the variants `knn` and `maha`, which nothing chooses. "real" learns from the demo set. All other columns
learn from the same sound with its ids and attributes hidden; they are measured within the same real ids, so that all
numbers are of the same pairs of clips. In "none" a machine has one class, so the loss is constant and the net is that
of a random start. Families that need no labels are printed as a reference. What is done is kept in FOLDER, so the same
command continues after a stop. Below the tables is what random scores reach.

The settings are those of `benchmarks/demo_families.py` with the changes in LONGER, and the backend `knn` alone. With
--seconds 2 these are the shortest in which each family learns. The encoder of `finetuned` and `pretrained` is a small
AST, and they also have the backend `maha`. Its weights are random; with --encoder-epochs N it learned for N epochs to
tell the ids and attributes of the demo machines apart that are not measured. So these rows say nothing of any published
encoder. `python -m benchmarks labels` measures the speed instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.clips.demo import MACHINES, make_demo
from asd_ray.conformance.workspace import Workspace
from asd_ray.detectors import Scores, family
from asd_ray.detectors.parts import pseudo_labels
from asd_ray.features import FeatureCache
from benchmarks import _timing
from benchmarks._encoders import random_ast, trained_ast
from benchmarks._settings import by_family, hmeans, trained_scores
from benchmarks.demo_families import SHORT

CLASSIFIERS = ("complex_net", "embedding_knn", "id_classifier", "stgram")
TUNED = ("finetuned-lora", "finetuned-head", "finetuned-all")  # the family and its parameter `tune`
REFERENCES = ("autoencoder", "idnn", "twfr_gmm", "pretrained")
NONE = "none"
VARIANTS = ("knn", "maha")  # backends; the second one only where there is an encoder
OF_REFERENCES = {"pretrained": ("real", NONE)}  # it learns no classes, but compares a clip with those of its id
COLUMNS = (*pseudo_labels.LABELS, NONE)
DRAWS = 1000  # of random scores
UNTRAINED = {"lr": 1e-12, "epochs": 1}  # an epoch sets the running means of batch normalisation

# Changes of SHORT. A clip of 2 s has a single image of 64 frames, so `id_classifier` gets shorter ones. Warps and
# mixtures make its task harder than a few epochs can learn.
_TUNED = {"encoder": "ast", "rank": 4, "batch_size": 16, "lr": 3e-3, "epochs": 10}
LONGER: dict[str, dict[str, Any]] = {
    "complex_net": {"epochs": 10},
    "finetuned": _TUNED,
    "id_classifier": {"frames": 32, "hop": 8, "test_hop": 8, "warps": 0, "mix": "none", "epochs": 6},
    "pretrained": {"encoder": "ast"},
    "stgram": {"epochs": 6},
}
# A clip of 2 s has 198 frames, so this net hears it whole.
AST = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_length": 208,
}


def settings(name: str, labels: str, epochs: int | None, seconds: float) -> dict[str, Any]:
    """The parameters of a row in one column. `epochs` is the most; None: those of the settings."""
    own, _, tune = name.partition("-")
    params = {**family(own).search_space().paper, **SHORT.get(own, {}), **LONGER.get(own, {})}
    if tune:
        params["tune"] = tune
    if "seconds" in params:
        params["seconds"] = seconds
    if "epochs" in params and epochs is not None:
        params["epochs"] = min(epochs, params["epochs"])
    if "backends" in params:
        params["backends"] = ",".join(VARIANTS) if "encoder" in params else VARIANTS[0]
    if labels == NONE and name not in REFERENCES:
        return {**params, **UNTRAINED}
    return params if labels in ("real", NONE) else {**params, "labels": labels}


def measured(
    name: str,
    labels: str,
    banks: Sequence[Bank],
    machine: str,
    seed: int,
    epochs: int | None,
    seconds: float,
    encoder: Path,
) -> dict[str, float]:
    """Variant -> the harmonic mean of the cells, after training on the set with real labels or on the hidden one."""
    shown, hidden = banks
    bank = shown if labels == "real" else hidden
    own, folder = name.partition("-")[0], Path(bank.table.root).parent
    weights = {"ast": str(encoder)} if family(own).needs_weights else {}
    scores, scored = trained_scores(
        bank,
        machine,
        own,
        settings(name, labels, epochs, seconds),
        seed,
        FeatureCache(folder / "cache"),
        weights,
    )
    return cells_of(scores, scored, shown.select(machine, split="test").frame)


def _random_encoder(folder: Path) -> Path:
    if not folder.is_dir():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            random_ast(folder, **AST)
    return folder


def _encoder(folder: Path, epochs: int, machines: Sequence[str], size: str, seconds: float) -> Path:
    """The folder of the encoder; it is made where it is missing. It never hears the `machines`."""
    start = _random_encoder(folder / "ast")
    others = [machine for machine in MACHINES if machine not in machines]
    trained = folder / f"ast-{epochs}-{size}-{seconds:g}-{'-'.join(others)}"
    if epochs and not trained.is_dir():
        demo = make_demo(folder / f"{trained.name}-demo", size=size, machines=others, seconds=seconds)
        trained_ast(trained, start, open_bank(demo, cache=folder / "cache"), epochs, seconds)
    return trained if epochs else start


def cells_of(scores: Scores, scored: pd.DataFrame, shown: pd.DataFrame) -> dict[str, float]:
    """As `measured`: the clips of `scored` are found among the labelled ones by their sound."""
    position = {digest: n for n, digest in enumerate(scored["digest"])}
    order = [position[digest] for digest in shown["digest"]]
    machine = str(shown["machine"].iloc[0])
    return hmeans(machine, {variant: values[order] for variant, values in scores.items()}, shown, 2022)


def chance(shown: pd.DataFrame) -> tuple[float, float]:
    """Between which values 95 of 100 detectors with random scores are on these clips."""
    rows = np.random.default_rng(0).random((DRAWS, len(shown)))
    found = hmeans(str(shown["machine"].iloc[0]), {str(n): row for n, row in enumerate(rows)}, shown, 2022)
    low, high = np.quantile(list(found.values()), [0.025, 0.975])
    return float(low), float(high)


def table(outcomes: pd.DataFrame, variant: str = "") -> str:
    """The means over the seeds and, in brackets, the least; without a `variant`, of the best one of each trial."""
    chosen = outcomes if not variant else outcomes[outcomes["variant"] == variant]
    values = chosen.groupby(["family", "machine", "labels", "seed"], as_index=False)["value"].max()
    return by_family(pd.DataFrame(values), "labels", COLUMNS)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the demo sets, the cache and the outcomes")
    parser.add_argument("--families", default=",".join([*CLASSIFIERS, *TUNED, *REFERENCES]))
    parser.add_argument("--labels", default=",".join(COLUMNS), help="columns to measure")
    parser.add_argument("--machines", default="fan,valve")
    parser.add_argument("--epochs", type=int, help="at most so many; else those of the settings")
    parser.add_argument("--encoder-epochs", type=int, default=0, help="0: the encoder has random weights")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--size", default="small")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a clip")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    threadpool_limits(1)  # as in the trials of a search
    machines, columns = args.machines.split(","), args.labels.split(",")
    stored = args.folder / "outcomes.jsonl"
    banks = []
    for hide in (False, True):
        made = make_demo(
            args.folder / f"{args.size}-{args.seconds:g}{'-hidden' * hide}",
            size=args.size,
            machines=machines,
            seconds=args.seconds,
            hide_labels=hide,
            grow=True,
        )
        banks.append(open_bank(made, cache=args.folder / "cache"))
    rows = [json.loads(line) for line in stored.read_text().splitlines()] if stored.exists() else []
    keys = ("family", "machine", "labels", "seed", "epochs", "size", "seconds", "encoder_epochs")
    wanted = (args.epochs, args.size, args.seconds, args.encoder_epochs)
    encodes = any(family(name.partition("-")[0]).needs_weights for name in args.families.split(","))
    encoder = _encoder(args.folder, args.encoder_epochs, machines, args.size, args.seconds) if encodes else args.folder
    done = {tuple(row[key] for key in keys) for row in rows}
    for seed in range(args.seeds):
        for name in args.families.split(","):
            for machine in machines:
                for labels in columns if name not in REFERENCES else OF_REFERENCES.get(name, (NONE,)):
                    key = (name, machine, labels, seed, *wanted)
                    if key in done:
                        continue
                    found = measured(name, labels, banks, machine, seed, args.epochs, args.seconds, encoder)
                    own = [dict(zip(keys, key, strict=True)) | {"variant": v, "value": x} for v, x in found.items()]
                    with open(stored, "a", encoding="utf-8") as file:
                        file.writelines(json.dumps(row) + "\n" for row in own)
                    rows += own
                    print(f"{name} of {machine}, {labels}, seed {seed}: {max(found.values()):.3f}", file=sys.stderr)
    outcomes = pd.DataFrame([row for row in rows if tuple(row[key] for key in keys[4:]) == wanted])
    print(f"best variant, mean of {args.seeds} seeds (least)\n\n{table(outcomes)}\n")
    for variant in (variant for variant in VARIANTS if variant in set(outcomes["variant"])):
        print(f"variant `{variant}`\n\n{table(outcomes, variant)}\n")
    for machine in machines:
        low, high = chance(banks[0].select(machine, split="test").frame)
        print(f"random scores of {machine}: 95 of 100 between {low:.3f} and {high:.3f}")
    return 0


# -- speed -----------------------------------------------------------------------------------------------------------

CLIPS, CLUSTERS = 1000, 16


def run() -> Iterator[_timing.Row]:
    rows = np.random.default_rng(0).normal(size=(CLIPS, pseudo_labels.COMPONENTS))
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        clips, context = workspace.bank("planted").select(split="train"), workspace.context()
        pseudo_labels.spectrum_statistics(clips, context)  # stores the features
        statistics = _timing.seconds(lambda: pseudo_labels.spectrum_statistics(clips, context)) / len(clips)
    for method in ("ward", "vq"):
        with threadpool_limits(1):  # as in the trials of a search
            ratio, own, reference = _timing.compare(
                lambda method=method: pseudo_labels.clustered(rows, CLUSTERS, method, 0),  # type: ignore[misc]
                lambda: pseudo_labels.clustered(rows, CLUSTERS, "kmeans", 0),
            )
        detail = f"{own:.3f} s against {reference:.3f} s; statistics from the cache take {statistics * CLIPS:.2f} s"
        yield f"{method}: {CLUSTERS} pseudo-labels of {CLIPS:,} clips", "scikit-learn's k-means", ratio, detail


if __name__ == "__main__":
    sys.exit(main())
