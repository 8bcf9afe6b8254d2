"""README.md works as it stands: its commands print what it shows, and its other commands and its example run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
NEARLY = 0.02  # of a number, or of its unit: processors round differently
# A net of few epochs gives these numbers under AVX2 and AVX-512. Without them it rounds otherwise, and another detector
# may be the best.
ROUNDS_ALIKE = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
SMALL = "--serial --families twfr_gmm --trials 2"  # for commands that README shows without output

Shell = Callable[[str], list[str]]


def section(heading: str) -> str:
    return README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def commands(heading: str) -> list[tuple[str, list[str]]]:
    """The commands of a section, each with the lines that README shows below it."""
    found: list[tuple[str, list[str]]] = []
    for line in re.findall(r"(?m)^    (.+)$", section(heading)):
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("asd-ray "):
            found.append((line.partition("  #")[0], []))
        elif found:
            found[-1][1].append(line)
    return found


def nearly(shown: str, printed: str) -> bool:
    """Whether two words are the same, or numbers that differ by little."""
    first, second = shown.strip("(),"), printed.strip("(),")
    if not (NUMBER.fullmatch(first) and NUMBER.fullmatch(second)):
        return shown == printed
    return abs(float(first) - float(second)) <= NEARLY * max(1, abs(float(first)))


def is_shown(shown: str, printed: str) -> bool:
    """Whether README shows this line; its last word "…" stands for the rest."""
    wanted, words = shown.split(), printed.split()
    if wanted[-1] == "…":
        wanted, words = wanted[:-1], words[: len(wanted) - 1]
    return len(wanted) == len(words) and all(map(nearly, wanted, words))


def missing(shown: list[str], printed: list[str]) -> list[str]:
    """The lines of README that were not printed, in their order."""
    rest = iter(printed)
    return [line for line in shown if line.strip() != "…" and not any(is_shown(line, each) for each in rest)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder and a working directory, empty at first, in which the commands run one after another."""
    return tmp_path_factory.mktemp("readme")


@pytest.fixture
def shell(folder: Path) -> Shell:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ASD_RAY_", "COLUMNS"))}
    environment |= {"HOME": str(folder), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"

    def run(command: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout.splitlines()

    return run


def test_the_commands_print_what_the_page_shows(shell: Shell) -> None:
    shown = commands("From nothing to a scored recording")
    assert [command.split()[1] for command, _ in shown] == ["search", "ensemble", "bundle", "score"]
    for command, lines in shown:
        printed = shell(command)
        assert len(lines) >= 3
        if ROUNDS_ALIKE:
            assert missing(lines, printed) == [], "\n".join([command, *printed])


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("fan 0.7962 gmm", "fan  0.7899  gmm", True),
        ("fan 0.7962 gmm", "fan 0.7362 gmm", False),
        ("fan 0.7962 gmm", "pump 0.7962 gmm", False),
        ("fan 0.7962", "fan 0.7962 gmm", False),
        ("fan 0.7962 …", "fan 0.7962 gmm", True),
        ("3 of 4", "3 of 5", False),
        ("79 of 96 (0.744 … 0.889)", "78 of 96 (0.741 … 0.889)", True),
    ],
)
def test_a_line_is_compared_by_words_and_numbers(shown: str, printed: str, same: bool) -> None:
    assert is_shown(shown, printed) is same


def test_normal_recordings_lead_to_a_score(folder: Path, shell: Shell) -> None:
    clips = sorted((folder / ".cache/asd_ray/demo/dev_data/fan/train").glob("*.wav"))  # made by the test above
    if not clips:
        pytest.skip("the commands before these did not run")
    (folder / "recordings/press/normal").mkdir(parents=True)
    for clip in clips[:40]:
        shutil.copy(clip, folder / "recordings/press/normal")
    shutil.copy(clips[-1], folder / "new.wav")
    shown = commands("Your own recordings")
    assert [command.split()[1] for command, _ in shown] == ["data", "search", "ensemble", "bundle", "score"]
    for command, _ in shown:
        printed = shell(f"{command} {SMALL}" if command.startswith("asd-ray search") else command)
    assert any(line.split()[-1:] == ["new.wav"] and NUMBER.match(line.split()[0]) for line in printed)


def test_the_example_for_notebooks_runs(folder: Path, shell: Shell) -> None:
    (example,) = re.findall(r"(?ms)^```python\n(.*?)^```$", section("In a notebook"))
    assert len(example.splitlines()) == 11
    (own,) = re.findall(r"(?ms)^```python\n(.*?)^```$", (ROOT / "docs" / "own-detector.md").read_text())
    small = example.replace("trials=4)", "trials=2, serial=True, epochs_cap=1)")
    assert small != example
    (folder / "example.py").write_text(f"{own}\nMyDetector = Nearest\n{small}\nprint(final.headline.value)\n")
    printed = shell("python example.py")
    assert 0.5 < float(printed[-1]) < 1
    assert (folder / "runs/notebook/report/report.html").is_file()
