from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray.deploy.serve.token import has_token, is_loopback, read_token
from asd_ray.errors import AsdRayError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    return tmp_path


def test_the_token_is_read_where_ray_reads_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".ray/auth_token").write_text("of the file\n")
    assert read_token() == "of the file"
    (home / "other").write_text("of another file")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "other"))
    assert read_token() == "of another file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the environment")
    assert read_token() == "of the environment"


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff", "cannot be read")]
)
def test_without_a_token_the_message_has_the_cure(home: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (home / ".ray/auth_token").write_bytes(content)
    with pytest.raises(AsdRayError, match=rf"auth_token: .*{words}.*ray get-auth-token --generate"):
        read_token()


@pytest.mark.parametrize(
    ("header", "may"),
    [
        ("Bearer secret", True),
        ("bearer secret ", True),
        ("Bearer Secret", False),
        ("Bearer secretsecret", False),
        ("Bearer ", False),
        ("Bearer", False),
        ("Basic secret", False),
        ("secret", False),
        ("Bearer s\u00e9cret", False),
        ("", False),
    ],
)
def test_only_the_whole_token_counts(header: str, may: bool) -> None:
    assert has_token(header, "secret") == may


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_hosts_that_only_this_computer_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
