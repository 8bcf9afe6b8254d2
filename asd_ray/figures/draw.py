"""Draw one figure of a paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from asd_ray._progress import progress_bar
from asd_ray._rules import COUNT
from asd_ray.clips.bank import Bank
from asd_ray.clips.progress import ProgressCallback
from asd_ray.clips.table import ClipTable
from asd_ray.errors import AsdRayError
from asd_ray.figures.embeddings import by_domain, by_id, by_label
from asd_ray.figures.index import BY_DOMAIN, BY_ID, BY_LABEL, LOCALISATION, RAINBOWGRAM, find_figure
from asd_ray.figures.localisation import localisation
from asd_ray.figures.rainbowgram import rainbowgrams
from asd_ray.figures.request import Request, machines_to_draw
from asd_ray.figures.trials import StatesOfRun
from asd_ray.ledger import Ledger

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAW: Mapping[str, Callable[[Request], Figure]] = {
    RAINBOWGRAM: rainbowgrams,
    BY_LABEL: by_label,
    BY_ID: by_id,
    BY_DOMAIN: by_domain,
    LOCALISATION: localisation,
}


class Audio(Protocol):
    """Where the clips are, and how they are decoded."""

    @property
    def table(self) -> ClipTable: ...

    def open(self, table: ClipTable, progress: ProgressCallback | None = None) -> Bank: ...


class HasAudio(Protocol):
    """A `Dataset`."""

    def source(self) -> Audio: ...


class HasLedger(Protocol):
    """A `Run`."""

    @property
    def ledger(self) -> Ledger: ...


def paper_figure(
    key: str,
    number: str,
    run: HasLedger | None,
    data: HasAudio,
    machines: str | Sequence[str] = (),
    *,
    ids: str | Sequence[str] = (),
    trial: str | None = None,
    clip: str | None = None,
    most: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    families: Sequence[type] = (),
) -> Figure:
    """Draw a figure of a paper, such as ``paper_figure("jiang2023", "3", run, data)``, and return it.

    `run` is a `Run` and `data` the `Dataset` that it was searched on; a figure that shows only sound, such as
    rainbowgrams, needs no run. Without `machines` those of the paper are drawn, as far as the dataset has them and the
    run has a trial with a state; without any of them, others. Of one machine and family the trial at the paper's
    setting is shown, or else the newest that kept a state; the caption says which. `trial` names another one. `ids`
    are those whose clips are shown. `clip` names the test clip of a localisation. Of more than `most` clips of a
    machine and kind, so many are drawn at random by `seed`, which is also that of t-SNE. `families` are classes of
    your own that cannot be imported by name.

    The figure belongs to no window: change it, then call its `savefig`.
    """
    figure = find_figure(key, number)
    for name, value, kinds in (("trial", trial, [k for k in DRAW if k != RAINBOWGRAM]), ("clip", clip, [LOCALISATION])):
        if value is not None and figure.kind not in kinds:
            raise AsdRayError(f"figure {number} of {key} shows no single {name}; leave --{name} out")
    if problem := COUNT.problem(most):
        raise AsdRayError(f"most {problem}")
    source = data.source()
    states = None
    if figure.rows:
        if run is None:
            raise AsdRayError(f"figure {number} of {key} shows trained detectors: name the run of a search")
        states = StatesOfRun(run.ledger, device, families)
    named = [machines] if isinstance(machines, str) else list(machines)
    if states is not None and trial is not None and not named:
        named = [states.named(trial).record.machine]
    rows = figure.paper_rows(key)
    with_state = None if states is None else states.machines([row.members[0].family for row in rows])
    shown, missing = machines_to_draw(figure, named, source.table.machines, with_state)
    if states is not None and trial is None:
        for machine in shown:
            if machine not in (with_state or ()):
                raise states.no_state(rows, machine, source.table.known_as)
    with progress_bar("decoding") as progress:
        bank = source.open(source.table.of_machines(shown), progress)
    which = (ids,) if isinstance(ids, str) else tuple(ids)
    return DRAW[figure.kind](Request(key, figure, shown, bank, states, which, trial, clip, most, seed, missing))
