"""Progress on a terminal: click's bar on stderr, and nothing at all anywhere else."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(
    label: str,
    length: int | None,
    *,
    prints: bool = False,
    show: Callable[[], str] | None = None,
) -> Iterator[Callable[[int], None]]:
    """A bar for the length of a block; yields the function that advances it.

    It is hidden when stderr is no terminal.

    Args:
        label: stands before the bar.
        length: what the steps add up to, or None when nobody knows.
        prints: the block prints to stdout as it goes. Where that is a terminal the bar is hidden:
            it would be torn, and what is printed shows the progress by itself.
        show: text to stand behind the bar, asked for whenever it is drawn.
    """
    hidden = sys.stderr is None or not sys.stderr.isatty() or (prints and sys.stdout.isatty())
    if hidden:
        yield lambda _steps: None
        return
    with click.progressbar(
        # A generator has no length: click then draws a bar that only moves.
        iterable=None if length is not None else (_ for _ in ()),
        length=length,
        label=label,
        file=sys.stderr,
        item_show_func=None if show is None else lambda _item: show(),
    ) as bar:
        yield bar.update
