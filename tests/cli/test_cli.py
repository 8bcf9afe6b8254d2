from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from asd_ray.__main__ import VERBS, main
from asd_ray.cli._arguments import epilog
from asd_ray.ledger import Ledger

ACTIONS = {
    "data": ["check", "bank", "demo"],
    "evaluate": [],
    "search": [],
    "status": [],
    "ensemble": [],
    "report": [],
    "bundle": [],
    "score": [],
    "explain": [],
    "watch": [],
    "onnx": [],
    "serve": [],
    "submission": ["write", "check"],
    "verify": [],
    "ledger": ["ls", "show", "verify", "export", "mlflow", "import", "compact", "forget"],
    "paper": [],
    "conformance": [],
}
HELPS = [[verb, *action] for verb, actions in ACTIONS.items() for action in [[], *([a] for a in actions)]]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)


def test_every_verb_is_tried() -> None:
    assert set(ACTIONS) == set(VERBS)
    assert len(HELPS) == 30


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_every_help_ends_with_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([*words, "--help"])
    assert raised.value.code == 0
    text = capsys.readouterr().out.rpartition("examples:\n")[2]
    examples = [line for line in text.replace(" \\\n     ", "").splitlines() if not line.startswith("  # ")]
    assert examples
    assert all(re.match(rf"  (?:.* \| )?asd-ray {words[0]} ", line) for line in examples)


@pytest.mark.parametrize("words", [[], *HELPS], ids=" ".join)
def test_every_help_fits_into_80_columns(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with contextlib.suppress(SystemExit):
        main([*words, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10
    assert [line for line in lines if len(line) > 80] == []


def test_a_wide_example_is_continued_as_a_shell_takes_it() -> None:
    wide = (
        "arecord -t raw -f S16_LE -r 48000 -c 1 -D hw:1,0 | asd-ray watch fan.bundle - --rate 48000 --mqtt broker/fan"
    )
    lines = epilog([f"{wide}  # of a microphone", "asd-ray watch fan.bundle sound/       # short"]).splitlines()
    assert lines == [
        "examples:",
        "  # of a microphone",
        "  arecord -t raw -f S16_LE -r 48000 -c 1 -D hw:1,0 \\",
        "      | asd-ray watch fan.bundle - --rate 48000 --mqtt broker/fan",
        "  asd-ray watch fan.bundle sound/  # short",
    ]
    typed = "echo " + "\n".join(lines[2:4]).replace("|", "'|'")
    assert subprocess.run(["sh", "-c", typed], capture_output=True, text=True).stdout.split() == wide.split()


@pytest.mark.parametrize("verb", VERBS)
def test_the_module_and_the_command_are_the_same_verb(verb: str) -> None:
    module, command = run(f"asd_ray.{verb}", "--help"), run("asd_ray", verb, "--help")
    assert module.stdout == command.stdout
    assert module.returncode == command.returncode == 0


def test_the_command_alone_lists_its_verbs() -> None:
    out = run("asd_ray").stdout
    assert all(verb in out for verb in VERBS)
    assert "examples:" in out


def test_an_unknown_verb_comes_with_a_guess() -> None:
    done = run("asd_ray", "evalute")
    assert done.returncode == 2
    assert "unknown verb 'evalute'; did you mean 'evaluate'?" in done.stderr


MODULE = """
from tests.tuning.families_for_tests import PAPER, Tiny, space

class MyDetector(Tiny):
    VERSION = 1
"""


@pytest.mark.parametrize("how", ["--serial", "--cpus=1"], ids=["serially", "on Ray"])
def test_the_installed_script_finds_a_module_in_the_working_directory(
    how: str, dataset: Callable[..., Path], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "my_detector.py").write_text(MODULE)
    script = Path(sysconfig.get_path("scripts")) / "asd-ray"
    options = ["--data", dataset(6), "--families", "my_detector:MyDetector", "--trials", "1", "--run", "run"]
    words = [script, "search", "fan", *options, how]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, cwd=work, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [record.status for record in Ledger(work / "run").records()] == ["complete"]


def test_python_s_safe_path_leaves_the_working_directory_out(tmp_path: Path) -> None:
    (tmp_path / "my_detector.py").write_text("raise SystemExit('imported')")
    code = "import sys; from asd_ray.__main__ import main; sys.exit(main())"
    words = [sys.executable, "-P", "-c", code, "conformance", "my_detector:MyDetector"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "No module named 'my_detector'" in done.stderr


@pytest.mark.parametrize(
    ("call", "skips"),
    [
        ("asd_ray.__main__.main()", True),
        ("asd_ray.cli.verify.main()", True),
        ("asd_ray.__main__.main(sys.argv[1:])", False),
        ("asd_ray.cli.verify.main(sys.argv[1:])", False),
    ],
)
def test_only_a_process_that_is_the_command_skips_the_last_search_for_garbage(
    call: str, skips: bool, tmp_path: Path
) -> None:
    code = (
        "import atexit, gc, sys\natexit.register(lambda: print('frozen', gc.get_freeze_count() > 0))\n"
        f"import asd_ray.__main__, asd_ray.cli.verify\n{call}"
    )
    words = ["verify", "--run", tmp_path] if "__main__" in call else ["--run", tmp_path]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"frozen {skips}", done.stderr


def test_an_error_is_one_message_and_the_traceback_is_for_debug() -> None:
    plain, debug = run("asd_ray.data", "check", "nowhere"), run("asd_ray.data", "--debug", "check", "nowhere")
    assert (plain.returncode, debug.returncode) == (2, 2)
    assert plain.stderr.startswith("asd-ray data: nowhere: no such folder; give the folder that holds the dataset")
    assert "Traceback" in debug.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_under_the_output_is_one_message(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asd_ray.data", "demo", str(tmp_path / "demo"), "--size", "tiny"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2, done.stderr
    said = "asd-ray data: the system refused: No space left on device; free some space, or check where the output goes"
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
