"""Each figure of a tiny run: what its axes, points, legend and caption hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from asd_ray import AsdRayError, Dataset, Run
from asd_ray.clips.table import ANOMALY, NORMAL, TEST, TRAIN
from asd_ray.figures import paper_figure
from asd_ray.figures.drawing import BLUE, GREEN, ORANGE, RED

from .conftest import SmallRun, search

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

pytestmark = pytest.mark.usefixtures("one_thread")


def caption(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def points(axes: Axes) -> dict[str, tuple[str, int]]:
    """Name in the legend -> colour and number of points."""
    found: dict[str, tuple[str, int]] = {}
    for each in axes.collections:
        offsets: Any = each.get_offsets()
        found[str(each.get_label())] = to_hex(each.get_facecolor()[0]).upper(), len(offsets)
    return found


def count(small: SmallRun, **wanted: str) -> int:
    clips = small.data.clips
    for column, value in wanted.items():
        clips = clips[clips[column] == value]
    return len(clips)


def test_by_label_shows_the_id_of_the_paper(small: SmallRun) -> None:
    figure = paper_figure("kim2021", "4", small.run, small.data)
    (axes,) = figure.axes
    assert axes.get_title() == "fan, id 02"
    of_id = {label: count(small, split=TEST, id="02", label=label) for label in (NORMAL, ANOMALY)}
    assert points(axes) == {"normal": (BLUE, of_id[NORMAL]), "anomaly": (RED, of_id[ANOMALY])}
    assert "fan-complex_net-0000, 1 epoch: not the paper's setting" in caption(figure)
    assert "250 iterations, learning rate 1000, seed 0" in caption(figure)
    assert "Not drawn: pump, slider, valve." in caption(figure)


def test_other_ids_can_be_named(small: SmallRun) -> None:
    figure = paper_figure("kim2021", "4", small.run, small.data, "fan", ids=["00", "01"])
    assert sum(number for _, number in points(figure.axes[0]).values()) == 2 * count(small, split=TEST, id="00")
    with pytest.raises(AsdRayError, match="unknown id of fan '77'"):
        paper_figure("kim2021", "4", small.run, small.data, "fan", ids="77")


def test_by_id_has_a_colour_per_id_and_a_panel_per_net(small: SmallRun, tmp_path: Path) -> None:
    figure = paper_figure("liu2022", "2", small.run, small.data)
    assert [axes.get_title() for axes in figure.axes] == ["fan, LogMel-MFN", "fan, Tgram-MFN"]
    shown, of_tgram = map(points, figure.axes)
    assert shown == of_tgram
    assert set(shown) == {f"id {id}, {label}" for id in ("00", "01", "02", "03") for label in (NORMAL, ANOMALY)}
    assert len({colour for colour, _ in shown.values()}) == 4
    assert shown["id 01, normal"] == (shown["id 01, anomaly"][0], count(small, split=TEST, id="01", label=NORMAL))

    other = SmallRun(small.data, Run(tmp_path / "run"))
    search(other, "stgram", tmp_path, inputs="sgram+tgram")  # neither row's
    figure = paper_figure("liu2022", "2", other.run, other.data)
    assert [axes.get_title() for axes in figure.axes] == ["fan, stgram inputs=sgram+tgram"]
    assert "fan: Tgram-MFN has no trial with a state." in caption(figure)


def test_by_domain_is_one_map_of_training_and_test(small: SmallRun) -> None:
    figure = paper_figure("jiang2023", "3", small.run, small.data)
    training, normal, test = figure.axes
    domains = ("source", "target")
    assert points(training) == {
        f"{domain}, normal": (colour, count(small, split=TRAIN, domain=domain))
        for domain, colour in zip(domains, (BLUE, ORANGE), strict=True)
    }
    assert list(points(normal)) == ["source, normal", "target, normal"]
    assert {name: colour for name, (colour, _) in points(test).items()} == {
        **{"source, normal": BLUE, "target, normal": ORANGE, "source, anomaly": GREEN, "target, anomaly": RED}
    }
    assert training.get_xlim() == normal.get_xlim() == test.get_xlim()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("source, normal", "target, normal", "source, anomaly", "target, anomaly")
    ]
    assert "Not drawn: ToyCar." in caption(figure)


def test_few_clips_are_drawn_at_random_by_the_seed(small: SmallRun) -> None:
    shown = [paper_figure("jiang2023", "3", small.run, small.data, most=8, seed=seed) for seed in (0, 0, 1)]
    of_training = [sum(number for _, number in points(figure.axes[0]).values()) for figure in shown]
    assert of_training == [8, 8, 8]
    places: list[Any] = [figure.axes[0].collections[0].get_offsets() for figure in shown]
    np.testing.assert_array_equal(places[0], places[1])
    assert places[2].shape != places[0].shape or not np.array_equal(places[0], places[2])


def test_localisation_is_the_difference_of_the_rows_above(small: SmallRun) -> None:
    figure = paper_figure("jiang2023", "4", small.run, small.data)
    maps = [np.asarray(axes.collections[0].get_array(), float) for axes in figure.axes[:4]]
    _, rebuilt, mean, difference = maps
    np.testing.assert_allclose(difference, np.abs(rebuilt - mean), atol=1e-4)
    assert mean.std(1).max() > 0, "clips of equal length have a mean that changes over time"
    record = small.run.best("fan", "aegan_ad")
    scores = small.run.scores(record, splits="test")
    anomalous = scores[scores["label"] == ANOMALY]
    highest = anomalous.loc[anomalous["score"].idxmax(), "clip"]
    assert f"{highest}, the anomalous clip with the highest score ({record.variant})" in caption(figure)


def test_localisation_of_a_named_clip(small: SmallRun) -> None:
    clips = small.data.clips
    name = clips[(clips["split"] == TEST) & (clips["label"] == NORMAL)]["clip"].iloc[3]
    figure = paper_figure("jiang2023", "4", small.run, small.data, clip=name)
    assert f"{name}, named by --clip, label normal" in caption(figure)
    with pytest.raises(AsdRayError, match="unknown test clip of fan 'x'"):
        paper_figure("jiang2023", "4", small.run, small.data, clip="x")


def test_rainbowgrams_need_no_run(small: SmallRun) -> None:
    figure = paper_figure("kim2021", "1", None, small.data)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [*["fan, anomaly"] * 2, *["fan, normal"] * 2]
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert all(picture.shape[2] == 3 and picture.max() > 0.5 for picture in pictures)
    assert "Not drawn: pump." in caption(figure)
    with pytest.raises(AsdRayError, match="shows no single trial; leave --trial out"):
        paper_figure("kim2021", "1", None, small.data, trial="fan-complex_net-0000")


def test_a_named_trial_of_any_family_with_embeddings(small: SmallRun) -> None:
    figure = paper_figure("liu2022", "2", small.run, small.data, trial="fan-complex_net-0000")
    assert figure.axes[0].get_title() == "fan, complex_net"
    with pytest.raises(AsdRayError, match="complex_net rebuilds no spectrograms; name another trial"):
        paper_figure("jiang2023", "4", small.run, small.data, trial="fan-complex_net-0000")


def test_without_a_state_the_command_that_trains_one_is_named(small: SmallRun, tmp_path: Path) -> None:
    without = Run(tmp_path / "run")
    without.search(
        small.data,
        "fan",
        families="twfr_gmm",
        trials=1,
        serial=True,
        quiet=True,
        keep_states="none",
    )
    with pytest.raises(AsdRayError, match="for fan the run has no trial of aegan_ad; .* --keep-states all") as error:
        paper_figure("jiang2023", "3", without, small.data)
    assert "asd-ray search fan --families aegan_ad --trials 1 --set first_norm=False" in str(error.value)
    assert str(error.value).endswith(f"--run {tmp_path / 'run'}"), "the run that the figure is drawn from"
    with pytest.raises(AsdRayError, match="the search kept no state of fan-twfr_gmm-0000; .*--keep-states all"):
        paper_figure("jiang2023", "3", without, small.data, trial="fan-twfr_gmm-0000")
    with pytest.raises(AsdRayError, match="no run here"):
        paper_figure("jiang2023", "3", Run(tmp_path / "nothing"), small.data)


def test_test_clips_without_labels_and_other_clips_are_refused(small: SmallRun, tmp_path: Path) -> None:
    folder = Path(small.data.root) / "dev_data" / "fan"
    for split in ("train", "test"):
        (tmp_path / "hidden/eval_data/fan" / split).mkdir(parents=True)
        for clip in folder.glob(f"{split}/*.wav"):
            name = clip.name
            if split == "test":
                name = f"section_{clip.name.split('_')[1]}_{len(list((tmp_path / 'hidden').rglob('*'))):04d}.wav"
            (tmp_path / "hidden/eval_data/fan" / split / name).symlink_to(clip)
    hidden = Dataset(tmp_path / "hidden", cache=small.data.cache)
    with pytest.raises(AsdRayError, match="fan has no test clip with the label anomaly or normal; .*--labels"):
        paper_figure("kim2021", "1", None, hidden, "fan")
    with pytest.raises(AsdRayError, match="are not those that fan-aegan_ad-0000 was trained on"):
        paper_figure("jiang2023", "4", small.run, hidden, clip=hidden.clips["clip"].iloc[-1])


def test_an_unknown_machine_is_refused(small: SmallRun) -> None:
    with pytest.raises(AsdRayError, match="unknown machine 'fam'; did you mean 'fan'"):
        paper_figure("jiang2023", "3", small.run, small.data, "fam")
