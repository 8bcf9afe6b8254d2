"""A progress bar for work on clips, as a command or a notebook shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(activity: str, quiet: bool = False, *, things: str = "clips") -> Iterator[Callable[[int, int], None]]:
    """Show ``<activity> clips`` with a bar; call what it yields with the clips done and the clips in total.

    `things` are counted in place of clips.

    The bar is on standard error, so the output of a command can be piped; what is printed meanwhile on a terminal
    stands above the bar. There is none where standard error is neither a terminal nor a notebook, or with `quiet`.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from asd_ray._console import console, is_live

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    screen = console(soft_wrap=True, stderr=True)
    # rich would send standard output to the bar's stream, even if it is a pipe or a file
    redirect = screen.is_jupyter or sys.stdout.isatty()
    hidden = quiet or not is_live(screen)
    with Progress(*columns, console=screen, transient=True, disable=hidden, redirect_stdout=redirect) as bar:
        task = bar.add_task(f"{activity} {things}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
