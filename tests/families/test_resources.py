from __future__ import annotations

import math

import pytest

from asd_ray.families import Resources


@pytest.mark.parametrize(
    "request_of_a_trial",
    [Resources(), Resources(0.1), Resources(100_000), Resources(1, 0.25), Resources(1, 4), Resources(1, memory=0.5)],
)
def test_what_a_trial_can_ask_for(request_of_a_trial: Resources) -> None:
    request_of_a_trial.check_request()


@pytest.mark.parametrize(
    "request_of_a_trial",
    [
        Resources(0),
        Resources(-1),
        Resources(1e11),
        Resources(math.nan),
        Resources(1, -0.5),
        Resources(1, 1.5),
        Resources(1, memory=-1),
        Resources(1, memory=math.inf),
    ],
)
def test_what_no_trial_can_ask_for(request_of_a_trial: Resources) -> None:
    with pytest.raises(
        ValueError, match=r"^resources need cpu above 0 and at most 100000, .*, but got Resources\(cpu="
    ):
        request_of_a_trial.check_request()


def test_amounts_are_added_and_compared() -> None:
    node = Resources(8, 1, memory=30)
    assert node + Resources(2, 0.5) == Resources(10, 1.5, memory=30)
    assert node.times(3) == Resources(24, 3, memory=90)
    assert node.at_least(Resources(2, 4, memory=1)) == Resources(8, 4, memory=30)
    assert node.covers(Resources(8, 1, memory=30))
    third = Resources(0, 1 / 3)
    assert Resources(0, 1).covers(third + third + third)
    for lacking in (Resources(8.5, 1), Resources(8, 1.5), Resources(8, 1, memory=31)):
        assert not node.covers(lacking)


def test_trials_of_families_that_ask_for_the_same_are_one_request() -> None:
    assert {Resources(1, 0.5), Resources(1, 0.5, suits_cpu=False)} == {Resources(1, 0.5)}


def test_the_text_for_people_leaves_out_memory_that_is_not_reserved() -> None:
    assert str(Resources(1, 0.25)) == "1 CPU, 0.25 GPU"
    assert str(Resources(8, 2, memory=64)) == "8 CPU, 2 GPU, 64 GiB of memory"
