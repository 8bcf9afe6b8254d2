import pytest

from asd_ray.errors import AsdRayError
from asd_ray.metrics import read_truth

YEARS = (2020, 2021, 2022, 2023, 2024, 2025)
COLUMNS = ["machine", "id", "domain", "clip", "label"]


def same(ours, theirs):
    """Equal but for the order of rows."""
    order = ["machine", "id", "domain", "clip"]
    left, right = (table[COLUMNS].sort_values(order, ignore_index=True) for table in (ours, theirs))
    return left.equals(right)


@pytest.mark.parametrize("year", YEARS)
def test_truth_of_a_year_is_read_from_the_evaluators_shape(world, year):
    case = world(year)
    assert same(read_truth(case.truth, year), case.table)


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("dated", [True, False])
def test_truth_of_a_year_is_read_from_the_baselines_list(world, tmp_path, year, dated):
    """Two columns, in 2020 three: label and domain come from the long name."""
    case = world(year)
    lines = []
    for machine, clips in case.table.groupby("machine"):
        rows = zip(clips["clip"], clips["long"], clips["label"], strict=True)
        lines += [
            machine,
            *(",".join([name, long, str(label)][: 3 if year == 2020 else 2]) for name, long, label in rows),
        ]
    folder = tmp_path / "list"
    folder.mkdir()
    (folder / (f"eval_data_list_{year}.csv" if dated else "eval_data_list.csv")).write_text("\r\n".join(lines))
    truth = read_truth(folder, year)
    assert same(truth, case.table)
    assert truth["alias"].tolist() == case.table.sort_values("machine", kind="stable")["long"].tolist()


def test_long_names_of_2024_are_read(world):
    case = world(2024)
    path = case.truth / "ground_truth_attributes/ground_truth_fan_section_00_test.csv"
    path.parent.mkdir()
    fan = case.table[case.table["machine"] == "fan"]
    rows = zip(fan["clip"], fan["long"], strict=True)
    path.write_text("".join(f"{n},{m.removesuffix('.wav')},{m.replace('noAttribute', 'spd_1')}\n" for n, m in rows))
    truth = read_truth(case.truth, 2024).set_index(["machine", "clip"])
    for clip, long in zip(fan["clip"], fan["long"], strict=True):
        assert truth.loc[("fan", clip), "alias"] == long
        assert truth.loc[("fan", clip), "full_name"] == long.replace("noAttribute", "spd_1")
    assert set(truth.loc["bearing", "alias"]) == {""}


def test_everything_wrong_with_the_truth_is_reported_at_once(world):
    case = world(2023)
    data, domain = case.truth / "ground_truth_data", case.truth / "ground_truth_domain"
    (data / "ground_truth_fan_section_00.csv").write_text("section_00_0000.wav,1\n")
    (domain / "ground_truth_bearing_section_00_test.csv").unlink()
    fan = domain / "ground_truth_fan_section_00_test.csv"
    fan.write_text("".join(fan.read_text().splitlines(keepends=True)[1:]))
    car = data / "ground_truth_ToyCar_section_00_test.csv"
    car.write_text(car.read_text() + "section_00_0000.wav,1\nsection_00_9999.wav,2\n")
    with pytest.raises(AsdRayError) as raised:
        read_truth(case.truth, 2023)
    for part in (
        "ground_truth_fan_section_00.csv is misnamed",
        "ground_truth_domain/ground_truth_bearing_section_00_test.csv is missing",
        "differ in 1 clips: section_00_0000.wav",
        "lists 1 clip(s) more than once: section_00_0000.wav",
        "which is neither 0 nor 1",
    ):
        assert part in str(raised.value)


def test_list_line_that_is_no_clip_of_the_year_is_named(tmp_path):
    (tmp_path / "eval_data_list.csv").write_text("fan\nid_01_00000000.wav,normal_id_01_00000098.wav,0\nx.wav,y.wav,0\n")
    with pytest.raises(AsdRayError, match=r"has 1 line\(s\) that are no clips of 2020: line 3 \(x.wav,y.wav,0\)"):
        read_truth(tmp_path, 2020)


def test_clip_that_stands_in_the_list_twice_is_named(tmp_path):
    line = "id_01_00000000.wav,normal_id_01_00000098.wav,0\n"
    (tmp_path / "eval_data_list.csv").write_text("fan\n" + line + line)
    with pytest.raises(AsdRayError, match=r"1 clip\(s\) are listed more than once: fan id_01_00000000.wav"):
        read_truth(tmp_path, 2020)


@pytest.mark.parametrize(
    ("year", "message"),
    [(2020, "it needs eval_data_list.csv"), (2023, "ground_truth_data and ground_truth_domain")],
)
def test_folder_without_truth_says_what_it_needs(tmp_path, year, message):
    with pytest.raises(AsdRayError, match=message):
        read_truth(tmp_path, year)


def test_domains_are_asked_for_from_2022_on(world, tmp_path):
    case = world(2022)
    (case.truth / "ground_truth_domain").rename(tmp_path / "elsewhere")
    with pytest.raises(AsdRayError, match="ground_truth_domain/ is missing"):
        read_truth(case.truth, 2022)
