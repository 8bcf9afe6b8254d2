"""README.md and docs/: links lead somewhere, commands and options exist, tables are complete, examples run."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from asd_ray.__main__ import VERBS, main
from asd_ray.clips.demo import make_demo
from asd_ray.detectors import FAMILIES
from asd_ray.ensembling import protocols

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
SHIPPED = [ROOT / folder / "README.md" for folder in ("ensembles", "search_spaces", "dashboards")]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS, *SHIPPED]
FILES = ("cluster.yaml", "cluster-onprem.yaml", "cluster-slurm.sh", "Dockerfile")
WITH_COMMANDS = [*PAGES, *(ROOT / name for name in FILES)]
OF_DOCKER = {"--build-arg", "--gpus", "--shm-size", "--user"}  # options of `docker` in docs/install.md
FENCED = re.compile(r"(?ms)^```.*?^```$")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:asd-ray |-m asd_ray\.)([a-z][^\n`'#]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
PARTS = {
    "data": ("check", "bank", "demo"),
    "ledger": ("ls", "show", "verify", "export", "mlflow", "import", "compact", "forget"),
    "submission": ("write", "check"),
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(page: Path) -> list[str]:
    return LINK.findall(re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text())))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"(?m)^#+ (.+)$", FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def python_blocks(name: str) -> list[str]:
    return re.findall(r"(?ms)^```python\n(.*?)^```$", (ROOT / name).read_text())


def first_column(name: str, heading: str) -> list[str]:
    """The names in backticks that begin the rows of the table below a header row."""
    table = (ROOT / name).read_text().partition(heading)[2].partition("\n\n")[0]
    return re.findall(r"(?m)^\| `([^`]+)`", table)


@cache
def options_of(*command: str) -> frozenset[str]:
    """The options that the help of `asd-ray command …` lists."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        sys.exit(main([*command, "--help"]))
    assert ended.value.code == 0, f"there is no asd-ray {' '.join(command)}"
    return frozenset(OPTION.findall(printed.getvalue()))


def commands(page: Path) -> list[tuple[tuple[str, ...], set[str]]]:
    """(verb, or verb and part) and the options of every command of asd_ray in a page."""
    found = []
    for text in COMMAND.findall(page.read_text()):
        verb, *rest = text.replace(":", " ").split()
        part = rest[:1] if rest and rest[0] in PARTS.get(verb, ()) else []
        found.append(((verb, *part), set(OPTION.findall(text))))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} in {name_of(page)}: no such file"
        assert not anchor or anchor in anchors(target), f"{link} in {name_of(page)}: no such heading"


def test_the_readme_leads_to_every_page() -> None:
    """It links to the start page, and the menu of the site has every page (tests/test_site.py)."""
    assert len(DOCS) >= 30
    assert "docs/index.md" in links(ROOT / "README.md")


def test_headings_are_named_as_on_github() -> None:
    assert {"layouts", "sample-rates-and-channels"} <= anchors(ROOT / "docs" / "own-recordings.md")


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_and_their_options_exist(page: Path) -> None:
    for command, options in commands(page):
        assert options <= options_of(*command), f"asd-ray {' '.join(command)} in {name_of(page)}"


def test_many_commands_are_checked() -> None:
    known = [command for page in WITH_COMMANDS for command, _ in commands(page)]
    assert len(known) >= 65
    verbs = {command[0] for command in known}
    assert verbs == {*VERBS}
    assert {("data", "check"), ("ledger", "import"), ("conformance",)} <= set(known)


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_options_in_the_text_exist(page: Path) -> None:
    of_asd_ray = set[str]().union(
        *(options_of(verb) for verb in VERBS if verb not in PARTS),
        *(options_of(verb, part) for verb, parts in PARTS.items() for part in parts),
    )
    named = re.findall(r"`(--[a-z][a-z-]*)[^`]*`", page.read_text())
    assert set(named) - OF_DOCKER <= of_asd_ray


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_programs_and_targets_exist(page: Path) -> None:
    text, targets = page.read_text(), re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text())
    assert set(re.findall(r"(?:`|&& |^    )make ([a-z]+)", text, flags=re.M)) <= set(targets)
    assert all((ROOT / path).is_file() for path in re.findall(r"python (benchmarks/\w+\.py)", text))
    for names in re.findall(r"python -m benchmarks((?: [a-z]+)+)`", text):
        assert all((ROOT / "benchmarks" / f"bench_{name}.py").is_file() for name in names.split())


def test_tables_are_complete() -> None:
    assert first_column("README.md", "| name | paper") == list(FAMILIES)
    assert first_column("docs/families.md", "| family | papers") == list(FAMILIES)
    assert sorted(first_column("docs/protocols.md", "| protocol |")) == sorted(each.name for each in protocols.every())
    recipes = {path.stem for path in (ROOT / "ensembles").glob("*.toml")}
    named = set(first_column("ensembles/README.md", "| recipe |"))
    assert named < recipes
    assert recipes - named == {f"giri_system_{number}" for number in (2, 3, 4)}  # one row has all four


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_examples_compile(page: Path) -> None:
    for block in python_blocks(name_of(page)):
        compile(block, name_of(page), "exec")


def test_the_example_of_protocols_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    exec(python_blocks("docs/protocols.md")[0], {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert all(f"    {line}\n" in (ROOT / "docs" / "protocols.md").read_text() for line in printed)


def test_the_example_of_clips_and_features_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_demo(tmp_path / "demo", size="tiny", machines=["fan"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASD_RAY_CACHE", str(tmp_path / "cache"))
    names: dict[str, object] = {}
    exec(python_blocks("docs/library.md")[-1], names)
    assert tuple(getattr(names["batch"], "shape", ())) == (512, 640)


def test_the_example_of_a_detector_keeps_the_contract(tmp_path: Path) -> None:
    (example,) = python_blocks("docs/own-detector.md")
    (tmp_path / "nearest.py").write_text(example)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    words = [sys.executable, "-m", "asd_ray", "conformance", "nearest:Nearest"]
    done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    count, after = done.stdout.splitlines()[-2:]
    assert f"    {count}\n    {after}\n" in (ROOT / "docs" / "own-detector.md").read_text()
