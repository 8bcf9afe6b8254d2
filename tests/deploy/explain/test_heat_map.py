from __future__ import annotations

import numpy as np
import pytest

from asd_ray.deploy.explain import Grid, HeatMap
from asd_ray.deploy.explain.heat_map import MOST_STEPS, mel_edges, to_hz, to_mel
from asd_ray.errors import AsdRayError


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_is_that_of_librosa_and_its_inverse(scale: str) -> None:
    import librosa

    hz = np.array([0.0, 100.0, 999.0, 1000.0, 3200.0, 24_000.0])
    np.testing.assert_allclose(to_mel(hz, scale), librosa.hz_to_mel(hz, htk=scale == "htk"), rtol=1e-9)
    np.testing.assert_allclose(to_hz(to_mel(hz, scale), scale), hz, atol=1e-6)


def test_a_map_is_read_at_times_and_frequencies() -> None:
    heat_map = HeatMap(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.0, 100, 200]), np.array([0.0, 1, 2]), "")
    np.testing.assert_array_equal(
        heat_map.at(np.array([0.0, 150, 900]), np.array([0.5, 1.0])), [[1, 2], [3, 4], [3, 4]]
    )
    assert heat_map.on(np.array([0.0, 200]), np.array([0.0, 2])).values == pytest.approx(np.array([[2.5]]))
    assert heat_map.later(3.0).seconds.tolist() == [3, 4, 5]
    assert heat_map.to_json()["values"] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("length", "steps"), [(0.1, 1), (0.5, 2), (10.0, 40), (20.0, 80), (300.0, MOST_STEPS)])
def test_long_clips_get_longer_spans(length: float, steps: int) -> None:
    edges = Grid().seconds(length)
    assert len(edges) == steps + 1
    assert (edges[0], edges[-1]) == (0, length)


@pytest.mark.parametrize("rate", [4000, 16_000, 48_000])
def test_bands_cover_all_frequencies_evenly_in_mel(rate: int) -> None:
    edges = Grid(bands=16).hz(rate)
    assert len(edges) == 18
    assert (edges[0], edges[-1]) == (0, rate / 2)
    np.testing.assert_allclose(np.diff(to_mel(edges)), to_mel(edges[-1:])[0] / 17)
    np.testing.assert_allclose(mel_edges(0, rate / 2, 17), edges)


@pytest.mark.parametrize("wrong", [{"bands": 0}, {"bands": 65}, {"span": 0.0}, {"span": float("nan")}])
def test_a_wrong_grid_is_an_error(wrong: dict[str, float]) -> None:
    with pytest.raises(AsdRayError, match="must be"):
        Grid(**wrong)  # type: ignore[arg-type]
