"""The last line of a verb's output: the command that usually comes next."""

from __future__ import annotations

from asd_ray._terminal import say, typed


def say_next(*words: object) -> None:
    """Print ``next: asd-ray …``, quoted for a shell. Not for ``--json``, whose output is for programs."""
    say(f"next: {typed('asd-ray', *words)}")
