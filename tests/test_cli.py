from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray.__main__ import VERBS, main

ACTIONS = {
    "data": ["check", "bank", "demo"],
    "evaluate": [],
    "search": [],
    "ensemble": [],
    "report": [],
    "ledger": ["ls", "show", "verify", "export", "import", "compact", "forget"],
    "conformance": [],
}
HELPS = [[verb, *action] for verb, actions in ACTIONS.items() for action in [[], *([a] for a in actions)]]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)


def test_every_verb_is_tried() -> None:
    assert set(ACTIONS) == set(VERBS)
    assert len(HELPS) == 17


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_every_help_ends_with_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([*words, "--help"])
    assert raised.value.code == 0
    examples = capsys.readouterr().out.rpartition("examples:\n")[2].splitlines()
    assert examples
    assert all(re.match(rf"  asd-ray {words[0]} ", line) for line in examples)


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
