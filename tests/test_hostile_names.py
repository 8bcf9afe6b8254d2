"""What users named is shown on the terminal, in CSV, HTML and Markdown as it is spelled: nothing obeys it."""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.table import Table
from rich.text import Text

from asd_ray._console import Console, flagged, several_lines
from asd_ray._terminal import say, say_json, typed, visible
from asd_ray.errors import listing
from asd_ray.ledger import Ledger, Settings, TrialRecord, long_scores, trial_hash
from tests.cli.ensemble.conftest import make_run
from tests.hostile import Answer, Verbs, unharmed

PACKAGE = Path(__file__).parents[1] / "asd_ray"
NAMES = [
    *("[", "[/x]", "[old] tapes", "[bold red]x[/]", ":warning:", "=cmd()", "\x1b[2Jx", "a\nb", "a\r\rb", "\x07\x08x"),
    *(
        "ü",
        "\u202egnp",
        "\x9b2Jx",
        "'\"<script>",
        "-x",
        "+1",
        "@x",
        " ",
        "a" * 200,
        "\u2066x\u2028y",
        "`$(id)`",
        "\ufeff|",
    ),
]
UNDECODABLE = "x\udcffy"  # a byte of a file's name that is no UTF-8


def is_inert(text: str) -> bool:
    """No character of it is for the terminal to obey."""
    return visible(text, lines=True) == text


def shown(answer: Answer) -> str:
    assert is_inert(answer.text), ascii(answer.text)
    return answer.text


# -- one place -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("plain ü → …", "plain ü → …"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x07\x08\x7f\x9b", r"\x07\x08\x7f\x9b"),
        ("\u202egnp", r"\u202egnp"),
        ("\u2066\u200b\ufeff", r"\u2066\u200b\ufeff"),
        ("\u2028", r"\u2028"),
        (UNDECODABLE, r"x\udcffy"),
        ("[red]x[/]", "[red]x[/]"),
        ("\U0001f469\u200d\U0001f527", "\U0001f469\u200d\U0001f527"),  # a joiner is part of an emoji's spelling
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, spelled: str) -> None:
    assert visible(text) == spelled


def test_lines_of_a_message_stay_lines_and_an_item_of_a_list_is_one() -> None:
    assert visible("a\nb\x1b", lines=True) == "a\nb\\x1b"
    assert listing(["x\ny", "\x1b"]) == "  x\\ny\n  \\x1b"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_the_console_takes_every_string_as_it_is(name: str, terminal: bool) -> None:
    """As a line, as a cell, as a title and as a head; its own colours stay."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=900, soft_wrap=True)
    table = Table(name, title=name)
    table.add_row(name)
    console.print(table)
    console.print(f"line {name} end")
    console.print(flagged("warning", name, "yellow"))
    console.out(f"out {name} end")
    text = Text.from_ansi(out.getvalue()).plain if terminal else out.getvalue()
    assert text.count(visible(name)) >= 5
    assert f"line {visible(name)} end" in text
    assert is_inert(text)
    assert ("\x1b[33mwarning" in out.getvalue()) == terminal


def test_a_head_of_several_lines_is_asked_for() -> None:
    assert several_lines("AUC", "a\nb", "").plain == "AUC\na\\nb"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_no_encoding_fails_and_json_is_exact(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from asd_ray._terminal import make_ready

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    make_ready()
    say(f"→ … ü {UNDECODABLE}")
    table = Table("ü …")
    table.add_row(UNDECODABLE)
    Console(width=40).print(table)
    say_json({"names": [*NAMES, UNDECODABLE]})
    sys.stdout.flush()
    text = raw.getvalue().decode(encoding)
    assert r"x\udcffy" in text
    assert json.loads(text[text.index("{") :])["names"] == [*NAMES, UNDECODABLE]


@pytest.mark.parametrize("words", [["a b", "c"], ["a\nb"], ["it's \x1b"], ["ü", "-x"], [UNDECODABLE], ["$(id)`\\\t'"]])
def test_a_command_that_is_shown_can_be_typed(words: list[str]) -> None:
    shown = typed("printf", r"%s\0", *words)
    assert is_inert(shown)
    done = subprocess.run(["bash", "-c", shown], capture_output=True, check=True).stdout
    assert done.decode("utf-8", "surrogateescape").split("\0")[:-1] == words


MAY_PRINT = {
    ("_terminal.py", "print"),
    ("tuning/on_ray/worker.py", "print"),  # a word for Ray's log monitor, in a worker
}
STYLES = re.compile(r"\[/\]|\[/?(?:bold|dim|italic|underline|red|green|yellow|blue|cyan|magenta|white|black)\b[^\]]*\]")


def test_nothing_else_prints_makes_a_console_or_writes_markup() -> None:
    """So that names are spelled out at one place: `asd_ray._terminal`, and `asd_ray._console` for rich."""
    found, checked = set(), 0
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            checked += 1
            if isinstance(node, ast.ImportFrom | ast.Import) and where != "_console.py":
                names = [alias.name for alias in node.names]
                modules = [str(node.module)] if isinstance(node, ast.ImportFrom) else names
                assert not {"rich.console", "rich.text", "rich.markup", "rich.pretty", "rich"} & set(modules), where
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name == "print" or name.endswith((".write", ".log", ".rule")) and "std" + "out" in name:
                    found.add((where, name))
                if name.endswith(("traceback.print_exc", "logging.basicConfig", "Text.from_markup")):
                    found.add((where, name))
                if any(word.arg == "markup" and ast.unparse(word.value) != "False" for word in node.keywords):
                    found.add((where, "markup="))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value[:1]:
                assert not STYLES.search(node.value), f"{where}: {node.value}"
    assert checked > 10_000
    assert found == MAY_PRINT


# -- every verb ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from asd_ray.ensemble import main

    run = make_run(tmp_path_factory.mktemp("plain") / "run")
    assert main(["--run", str(run), "--recipe", "best_single", "--folds", "2", "--repeats", "1"]) == 0
    return run


@pytest.mark.parametrize("name", [*NAMES, UNDECODABLE], ids=ascii)
def test_a_run_may_lie_in_a_folder_of_any_name(
    name: str, plain_run: Path, tmp_path: Path, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = f"./{name}"
    shutil.copytree(plain_run, run)
    if name == UNDECODABLE:
        shown(verbs.refused("ledger", "ls", run, words=("x\\udcffy: its name is not UTF-8 text; rename it",)))
        return
    trial = Ledger(run).records()[0].trial
    with unharmed(Path(run)):
        for words in (
            ("ledger", "ls", run),
            ("ledger", "show", run, trial),
            ("ledger", "verify", run),
            ("ledger", "export", run, "all.csv"),
            ("search", "--status", f"./{name}"),
            ("report", f"--run=./{name}", f"--out=out {name}"),
            ("ensemble", "--verify", f"{run}/ensembles/fan/final.json", f"--run=./{name}"),
        ):
            answer = verbs(*words)
            assert answer.status == 0, (words, answer)
            shown(answer)
            assert words[0] != "report" or f"out {visible(name)}" in answer.out


@pytest.mark.parametrize("name", [*NAMES, UNDECODABLE], ids=ascii)
def test_what_is_not_there_is_named_as_it_is_spelled(name: str, plain_run: Path, tmp_path: Path, verbs: Verbs) -> None:
    gone = tmp_path / "gone" / name
    with unharmed(plain_run):
        for words in (
            ("ledger", "ls", gone),
            ("ledger", "ls", plain_run, f"--machine={name}"),
            ("ledger", "ls", plain_run, f"--family={name}"),
            ("ledger", "show", plain_run, "--", name),
            ("ledger", "import", plain_run, gone),
            ("ensemble", "--run", plain_run, "--", name),
            ("ensemble", "fan", "--run", plain_run, f"--recipe={name}"),
            ("ensemble", "--verify", gone),
            ("report", "--run", gone),
            ("report", "--check-submission", gone, "--year", "2023"),
            ("evaluate", "--year", "2023", "--truth", gone, "--submission", gone),
            ("data", "check", gone),
            ("data", "check", tmp_path, f"--layout={name}"),
            ("search", "--status", gone),
            ("search", "fan", f"--families={name.replace(':', '')}x"),
            ("search", "fan", f"--space={name}"),
            ("search", "fan", f"--seed={name}x"),
            (name + "x",),
        ):
            answer = verbs.refused(*words, lines=30)
            assert answer.out == ""
            shown(answer)
            assert "a\nb" not in answer.err


def put_run(run: Path, name: str) -> Path:
    """Trials, variants, parameters, errors and clips that are all called `name`."""
    clips = pd.DataFrame(
        [
            (f"{name} {split} {label} {number}.wav", "00", "source", split, label)
            for split in ("held_out", "test")
            for label in (("normal", "anomaly") if split == "test" else ("normal",))
            for number in range(6)
        ],
        columns=["clip", "id", "domain", "split", "label"],
    )
    loud = (clips["label"] == "anomaly").to_numpy()
    for number in range(3):
        record = TrialRecord(
            trial=trial_hash(name=name, number=number),
            name=name if number else f"{name} 0",
            machine="fan",
            family="idnn",
            number=number,
            params={name: name, "lr": number + 1},
            status="complete" if number < 2 else "failed",
            objective=0.5 + number / 10 if number < 2 else None,
            variant=name if number < 2 else "",
            error=f"ValueError: {name}" if number == 2 else "",
            source="import" if "/" in name else "search",  # the name of a searched trial names files, too
            device=name,
            dataset=name,
            data_fingerprint="f",
            settings=Settings(),
            paper=number == 0,
            node=name,
        )
        noise = np.random.default_rng(number).normal(size=len(clips))
        Ledger(run).commit(record, long_scores(clips, {name: noise + loud}) if number < 2 else None)
    return run


@pytest.fixture(params=NAMES, ids=ascii)
def named(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    name = str(request.param)
    return name, put_run(tmp_path / "run", name)


def test_what_is_stored_under_any_name_is_shown_exported_and_reported(
    named: tuple[str, Path], tmp_path: Path, verbs: Verbs
) -> None:
    name, run = named
    quick = ("--recipe", "best_single", "--folds", "2", "--repeats", "1")
    with unharmed(run):
        assert visible(name) in shown(verbs("ledger", "ls", run)).replace("\n", "") or len(name) > 99
        assert visible(name).strip() in shown(verbs("ledger", "show", run, "--", f"{name} 0")) or len(name) > 99
        shown(verbs("ledger", "show", run, "--", name))  # of two trials
        assert f"ValueError: {visible(' '.join(name.split()))}".strip() in shown(verbs("search", "--status", run))
        records = json.loads(shown(verbs("ledger", "ls", run, "--json")))
        assert {record["device"] for record in records} == {name}
        for words in (("ensemble", "--run", run, *quick), ("report", "--run", run)):
            answer = verbs(*words)
            assert answer.status == 0
            shown(answer)
    check_page((run / "report" / "report.html").read_text(), name)
    check_markdown((run / "report" / "report.md").read_text())
    assert name in json.loads((run / "report" / "report.json").read_text())["provenance"]["devices"]
    for path in (run / "report").glob("*.csv"):
        check_cells(path)


def test_an_export_is_harmless_and_is_read_back_unchanged(
    named: tuple[str, Path], tmp_path: Path, verbs: Verbs
) -> None:
    name, run = named
    assert verbs("ledger", "export", run, tmp_path / "all.csv").status == 0
    check_cells(tmp_path / "all.csv")
    if name.strip() != name:  # import trims blanks, and a variant may not be empty
        return
    assert verbs("ledger", "import", tmp_path / "again", tmp_path / "all.csv").status == 0
    one, other = (Ledger(folder) for folder in (run, tmp_path / "again"))
    assert {r.name for r in other.records()} == {r.name for r in one.records() if r.status == "complete"}
    stored = {(r.name, *row) for ledger in (one,) for r in ledger.records() if r.status == "complete"
              for row in ledger.scores(r)[["clip", "variant", "score"]].itertuples(index=False)}  # fmt: skip
    taken = {(r.name, *row) for r in other.records()
             for row in other.scores(r)[["clip", "variant", "score"]].itertuples(index=False)}  # fmt: skip
    assert taken == stored


# -- the report ----------------------------------------------------------------------------------------------------


def check_page(page: str, name: str) -> None:
    from html.parser import HTMLParser

    tags, texts = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert not any(key.startswith("on") or "javascript:" in (value or "") for key, value in attrs)

        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(page)
    assert tags.count("script") == 1
    assert is_inert(page.replace("\t", " "))
    assert visible(name) in "".join(texts)


def check_markdown(text: str) -> None:
    assert is_inert(text)
    assert not re.search(r"(?<!\\)<(?!br)", text.replace("`", ""))
    tables = [line for line in text.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
    assert len(widths) <= 8, widths
    assert text.count("\n```sh\n") + text.count("\n````sh\n") + text.count("\n``sh\n") <= 1


def check_cells(path: Path) -> None:
    import csv

    with path.open(newline="") as file:
        for row in csv.reader(file):
            for cell in row:
                number = re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell)
                assert number or not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")), (path, cell)
