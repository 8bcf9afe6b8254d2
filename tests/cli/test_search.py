"""What the verb refuses, before anything is searched; no test here starts Ray."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asd_ray.search import main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the default run is a folder here


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The message of a command that ends with status 2 after seconds of work."""

    def run(*words: object) -> str:
        began = time.process_time()
        try:
            status = main([*map(str, words)])
        except SystemExit as error:  # argparse's own
            status = error.code
        assert status == 2
        assert time.process_time() - began < 20
        message = capsys.readouterr().err
        assert "Traceback" not in message
        return message

    return run


@pytest.mark.parametrize("share", ["1", "0.25"])
def test_a_gpu_that_is_not_there_is_refused_at_once(
    refused: Callable[..., str], share: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    message = refused("fan", "--gpus-per-trial", share)
    assert f"--gpus-per-trial {share}: torch sees no GPU here; leave the option out to search on CPUs" in message
    assert list(tmp_path.iterdir()) == []  # no demo set was made


def test_a_gpu_that_is_not_there_is_said_after_seconds_of_work(
    python: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = "import sys; from asd_ray.search import main; sys.exit(main())"
    process = python(command, "fan", "--gpus-per-trial", "1")
    message = process.communicate(timeout=120)[1]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 20  # imports and all; a busy machine makes the wait longer, not this
    assert process.returncode == 2
    assert "leave the option out to search on CPUs" in message


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--time", "soon"], "must be a number with s, m, h or d, such as 30m, but got 'soon'"),
        (["--time", "30"], "such as 30m, but got '30'"),
        (["--time", "0m"], "such as 30m, but got '0m'"),
        (["--time", "-5m"], "--time"),
        (["--trials", "0"], "must be a whole number from 1 but got '0'"),
        (["--epochs-cap", "x"], "must be a whole number from 1 but got 'x'"),
        (["--seed", "-1"], "--seed"),
        (["--seed", "x"], "must be a whole number from 0 to 4294967295 but got 'x'"),
        (["--gpus-per-trial", "1.5"], "must be a share up to 1 in steps of 0.0001, or a whole number, but got '1.5'"),
        (["--gpus-per-trial", "0.33333"], "must be a share up to 1 in steps of 0.0001"),
        (["--cpus-per-trial", "nan"], "must be a share up to 1 in steps of 0.0001, or a whole number, but got 'nan'"),
        (["--cpus-per-trial", "inf"], "must be a share up to 1 in steps of 0.0001, or a whole number, but got 'inf'"),
        (["--cpus-per-trial", "0"], "must be above 0, because every trial computes, but got '0'"),
        (["--cpus-per-trial", "-1"], "--cpus-per-trial"),
        (["--checkpoint", "best"], "invalid choice: 'best'"),
    ],
    ids=" ".join,
)
def test_nonsense_is_refused_with_what_is_wanted(refused: Callable[..., str], words: list[str], told: str) -> None:
    assert told in refused("fan", *words)


def test_an_unknown_family_has_a_guess(refused: Callable[..., str], dataset: Callable[..., Path]) -> None:
    message = refused("fan", "--data", dataset(), "--serial", "--families", "autoencodr")
    assert "unknown family 'autoencodr'; did you mean 'autoencoder'? known: aegan_ad, anogan, autoencoder, " in message


def test_a_class_that_cannot_be_imported_is_said(refused: Callable[..., str], dataset: Callable[..., Path]) -> None:
    message = refused("fan", "--data", dataset(), "--serial", "--families", "no_such_module:Mine")
    assert "family no_such_module:Mine: No module named 'no_such_module'" in message
    assert "set PYTHONPATH" in message


def test_an_unknown_machine_of_the_demo_set_has_a_guess(refused: Callable[..., str]) -> None:
    assert "unknown demo machine 'fam'; did you mean 'fan'?" in refused("fam", "--serial")


def test_an_unknown_machine_of_a_dataset_has_a_guess(refused: Callable[..., str], dataset: Callable[..., Path]) -> None:
    message = refused("fam", "--data", dataset(), "--serial")
    assert "unknown machine 'fam'; did you mean 'fan'?" in message


def test_a_folder_that_is_not_there_is_named(refused: Callable[..., str], tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refused("fan", "--data", tmp_path / "nowhere", "--serial")


def test_a_space_of_no_certain_family_asks_for_which(refused: Callable[..., str]) -> None:
    families = ("--families", "autoencoder,idnn")
    message = refused("fan", *families, "--space", "mine.py")
    assert "--space mine.py: name its family: --space FAMILY=FILE with one of autoencoder, idnn" in message
    message = refused("fan", *families, "--space", "twfr_gmm=mine.py")
    assert "--space twfr_gmm=mine.py: name its family" in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "mine.py: no such file; give a Python file with PAPER and def space(trial)"),
        ("PAPER = {", "mine.py: cannot be run (SyntaxError: "),
        ("PAPER = {}", "mine.py: a search space needs PAPER = {…} (the paper's setting) and def space(trial)"),
    ],
)
def test_a_space_file_that_cannot_serve_is_refused_before_anything_is_made(
    refused: Callable[..., str], tmp_path: Path, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    assert told in refused("fan", "--families", "idnn", "--space", tmp_path / "mine.py")
    assert not {each.name for each in tmp_path.iterdir()} - {"mine.py"}  # no demo set


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "frames"], "--set frames: give [FAMILY.]NAME=VALUE, such as head=softmax"),
        (["--set", "frame=7"], "--set frame: unknown parameter 'frame'; did you mean 'frames'? known: batch_size, "),
        (["--set", "stgram.lr=1"], "--set stgram.lr: this command searches idnn, not stgram; name it with --families"),
        (["--set", "lr=fast"], "--set lr='fast': lr of idnn is a number; PAPER has 0.001"),
        (["--set", "lr=1", "--set", "lr=2"], "--set lr=2: lr has a value already, 1; give one"),
    ],
    ids=" ".join,
)
def test_a_value_that_cannot_be_fixed_is_refused_before_anything_is_made(
    refused: Callable[..., str], tmp_path: Path, words: list[str], told: str
) -> None:
    assert told in refused("fan", "--families", "idnn", *words)
    assert list(tmp_path.iterdir()) == []  # no demo set


def test_a_value_of_a_family_that_is_left_out_without_a_gpu_is_refused(
    refused: Callable[..., str], dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    message = refused("fan", "--data", dataset(), "--serial", "--set", "stgram.inputs=tgram")
    assert "--set stgram.inputs: this command searches autoencoder, idnn, twfr_gmm, not stgram; name it with" in message
    message = refused("fan", "--data", dataset(), "--serial", "--set", "inputs=tgram")
    assert "--set inputs: unknown parameter 'inputs'; known: " in message
    assert "\nleft out, since they want a GPU: aegan_ad, " in message


@pytest.mark.parametrize("share", ["0.6", "-0.1"])
def test_a_held_out_share_out_of_bounds_is_refused(
    refused: Callable[..., str], dataset: Callable[..., Path], share: str
) -> None:
    message = refused("fan", "--data", dataset(), "--serial", "--families", "idnn", f"--held-out={share}")
    assert f"--held-out must be a number between 0 and 0.5 but got {share}" in message


@pytest.fixture
def said(dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a serial search of a tiny dataset prints."""
    data = dataset()

    def run(*words: str) -> str:
        assert main([*words, "--data", str(data), "--families", "twfr_gmm", "--serial"]) == 0
        return capsys.readouterr().out

    return run


def test_a_search_that_ends_early_for_want_of_time_says_so(
    said: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_ray.tuning.study.Study.mean_seconds", 1000.0)
    told = said("fan", "--trials", "3", "--time", "100s")
    assert "ended early (the time is up): 3 trials are missing; run the same command to go on" in told


def test_jointly_over_one_machine_is_noted(said: Callable[..., str]) -> None:
    told = said("fan", "--trials", "1", "--jointly")
    assert "note: --jointly changes nothing: fan is the only machine" in told
    assert "1 trial run now, 1 in all" in told


def test_stored_trials_that_do_not_count_are_told(said: Callable[..., str]) -> None:
    said("fan", "--trials", "1")
    told = said("fan", "--trials", "1", "--held-out", "0.2")
    reasons = (
        "of other settings, with other weights or fixed values (--set), of other injected faults, of another search "
        "space or of another version of the class"
    )
    assert f"note: fan-twfr_gmm: 1 stored trials {reasons} do not count here" in told
    told = said("fan", "--trials", "1", "--set", "components=1")
    assert f"note: fan-twfr_gmm: 2 stored trials {reasons} do not count here" in told


def test_help_answers_without_torch_ray_or_optuna(python: Callable[..., subprocess.Popen[str]]) -> None:
    process = python(
        """
        import sys
        from asd_ray.search import main
        try:
            main(["--help"])
        except SystemExit:
            print({"torch", "ray", "optuna", "pandas"} & set(sys.modules))
        """
    )
    assert process.communicate(timeout=60)[0].endswith("set()\n")


def test_no_test_here_started_ray() -> None:
    ray = sys.modules.get("ray")
    assert ray is None or not ray.is_initialized()
