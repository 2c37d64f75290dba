"""Progress bars: seen on a terminal, and nowhere else. The terminal is a real one (a pty)."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import COMMAND, DEADLINE_S, environment, node_process

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTS = b"".join(b"%d\n" % number for number in range(200))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with node_process("progress") as node:
        yield node.address


def on_a_terminal(arguments: list[str], *, stdin, stdout_too: bool = False) -> tuple[str, bytes]:
    """Run the command with stderr, or both, on a terminal: what that showed, and its stdout."""
    ours, theirs = os.openpty()
    try:
        with subprocess.Popen(
            [COMMAND, *arguments],
            stdin=stdin,
            stdout=theirs if stdout_too else subprocess.PIPE,
            stderr=theirs,
            env=environment(),
        ) as process:
            os.close(theirs)
            shown = b""
            with contextlib.suppress(OSError):  # how a pty says that nobody has it open
                while chunk := os.read(ours, 65_536):
                    shown += chunk
            printed = b"" if process.stdout is None else process.stdout.read()
            assert process.wait(DEADLINE_S) == 0, shown
    finally:
        os.close(ours)
    return shown.decode(), printed


def test_a_push_of_a_file_shows_how_far_it_is(address, tmp_path):
    path = tmp_path / "documents"
    path.write_bytes(DOCUMENTS)
    with path.open("rb") as stdin:
        shown, printed = on_a_terminal(["push", "P", "--node", address], stdin=stdin)
    assert "pushing" in shown
    assert "100%" in shown
    assert printed.count(b"\n") == 200


def test_a_push_from_a_pipe_of_unknown_length_shows_that_it_moves(address):
    read, write = os.pipe()
    os.write(write, DOCUMENTS)
    os.close(write)
    with os.fdopen(read, "rb") as stdin:
        shown, printed = on_a_terminal(["push", "P", "--node", address], stdin=stdin)
    assert "pushing" in shown
    assert printed.count(b"\n") == 200


def test_no_bar_is_drawn_between_the_ids_that_a_terminal_shows(address, tmp_path):
    path = tmp_path / "documents"
    path.write_bytes(DOCUMENTS)
    with path.open("rb") as stdin:
        arguments = ["push", "P", "--node", address]
        shown, _ = on_a_terminal(arguments, stdin=stdin, stdout_too=True)
    assert "pushing" not in shown
    assert shown.count("\n") == 200


def test_a_benchmark_shows_how_far_it_is_where_its_report_will_be(address):
    arguments = ["bench", "--node", address, "--count", "12000", "--rate", "500"]
    shown, _ = on_a_terminal(arguments, stdin=subprocess.DEVNULL, stdout_too=True)
    assert "measuring" in shown
    assert "100%" in shown
    assert "objects/s" in shown
