"""Where the fault of a demo clip is: its healthy twin, and the cells in which they differ."""

from __future__ import annotations

import numpy as np
import pytest

from asd_ray.clips.demo.fault_place import BANDS, FaultPlace, fault_place
from asd_ray.clips.demo.machines import MACHINES
from asd_ray.clips.demo.plan import SIZES, DemoClip, planned
from asd_ray.clips.demo.sound import RATE
from asd_ray.clips.demo.twin import with_and_without

SECONDS = 2.0
KINDS = [(machine, kind) for machine, known in MACHINES.items() for kind in known.faults]


def clips(machine: str, kind: str) -> list[DemoClip]:
    """The test clips with this fault, the worst first."""
    own = [clip for clip in planned(SIZES["small"], machine) if clip.label == "anomaly" and clip.fault(0).kind == kind]
    return sorted(own, key=lambda clip: -clip.fault(0).severity)


def worst(machine: str, kind: str) -> FaultPlace:
    return fault_place(clips(machine, kind)[0], 0, SECONDS)


def hz_of(place: FaultPlace) -> np.ndarray:
    """The frequency of each cell in the place."""
    return ((place.hz[1:] + place.hz[:-1]) / 2)[np.nonzero(place.mask)[0]]


def test_there_are_25_kinds() -> None:
    assert len(KINDS) == 25


@pytest.mark.parametrize(("machine", "kind"), KINDS)
def test_a_twin_changes_no_sample_of_the_clip_and_most_cells_little(machine: str, kind: str) -> None:
    clip = clips(machine, kind)[0]
    faulty, healthy = clip.with_twin(0, SECONDS)
    np.testing.assert_array_equal(faulty, clip.samples(0, SECONDS))
    assert (healthy != faulty).any()
    place = fault_place(clip, 0, SECONDS)
    assert place.mask.any()
    assert place.mask.mean() < 0.5
    # two unrelated noises would differ by 4 dB in the median cell
    assert np.median(np.abs(place.difference_db)) < 1.6


@pytest.mark.parametrize("machine", MACHINES)
def test_a_normal_clip_is_its_own_twin_and_has_no_place(machine: str) -> None:
    clip = next(clip for clip in planned(SIZES["tiny"], machine) if clip.label == "normal")
    faulty, healthy = clip.with_twin(0, 1.0)
    np.testing.assert_array_equal(faulty, healthy)
    assert not fault_place(clip, 0, 1.0).mask.any()


def test_a_place_covers_the_clip() -> None:
    place = worst("fan", "rubbing")
    assert place.difference_db.shape == (BANDS, round(SECONDS * RATE) // 512 + 1)
    assert (place.seconds[0], place.seconds[-1]) == (0, pytest.approx(SECONDS, abs=0.02))
    assert (place.hz[0], place.hz[-1]) == (0, pytest.approx(RATE / 2))


@pytest.mark.parametrize(
    ("machine", "kind", "low", "high"),
    [
        ("pump", "leak", 2500, 8000),  # a hiss from 3.5 to 6.5 kHz
        ("fan", "rubbing", 1000, 6000),  # noise from 1.5 to 4.5 kHz
        ("fan", "bearing", 800, 6000),  # rings at 1.25 to 3.5 kHz
        ("pump", "cavitation", 2500, 8000),  # bubbles ring at 3.7 and 5.2 kHz; their number changes the stream
        ("slider", "scratched_rail", 1600, 8000),  # ticks at 2.7 and 4.1 kHz
    ],
)
def test_the_place_is_in_the_frequencies_of_the_fault(machine: str, kind: str, low: float, high: float) -> None:
    inside = hz_of(worst(machine, kind))
    assert ((inside > low) & (inside < high)).mean() > 0.85


def test_a_missing_click_is_missing() -> None:
    place = worst("valve", "missing_click")
    assert (place.difference_db[place.mask] < 0).mean() > 0.9


def test_a_click_that_is_late_is_missing_in_one_place_and_found_in_another() -> None:
    place = worst("valve", "late_click")
    share_missing = (place.difference_db[place.mask] < 0).mean()
    assert 0.2 < share_missing < 0.8


def test_a_worse_fault_is_in_more_places() -> None:
    ordered = clips("fan", "rubbing")
    worse, weaker = (
        np.mean([fault_place(clip, 0, SECONDS).mask.mean() for clip in few]) for few in (ordered[:4], ordered[-4:])
    )
    assert weaker < 0.5 * worse


def test_a_twin_gets_the_same_draws_until_it_needs_more() -> None:
    def make(draw: np.random.Generator, faulty: bool) -> list[float]:
        values = [draw.normal(0.0, 1.0)]
        if faulty:  # draws of its own
            values += draw.random(3).tolist()
        return [*values, *draw.standard_normal(2 if faulty else 4).tolist(), draw.normal(2.0, 1.0)]

    faulty, healthy = with_and_without(make, np.random.default_rng(0), 1)
    assert (healthy[0], healthy[1:3], healthy[-1]) == (faulty[0], faulty[4:6], faulty[-1])
    assert len(healthy) == 6
    assert not set(healthy[3:5]) & set(faulty)


def test_fewer_events_are_a_part_of_more() -> None:
    def events(draw: np.random.Generator, faulty: bool) -> list[float]:
        return sorted(draw.random(draw.poisson(200.0 if faulty else 20.0)).tolist())

    many, few = with_and_without(events, np.random.default_rng(0), 1)
    assert 5 < len(few) < 50
    assert set(few) < set(many)
