"""The documented chain of services over two nodes: one is killed, every order is mailed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.processes import DEADLINE_S, environment, held, node_process, status_of

SHOP = Path(__file__).parents[2] / "docs" / "example" / "shop.py"
ORDERS = 300
KILLED_AFTER = ORDERS // 4
"""Mails after which the sender is killed: in the middle of its work."""


@contextlib.contextmanager
def service(name: str, node: str, *arguments: str):
    process = subprocess.Popen(
        [sys.executable, SHOP, name, "--node", node, *arguments], env=environment()
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def lines_of(file: Path) -> list[list[str]]:
    """What was sent, as (process, id, order, text)."""
    text = file.read_text() if file.exists() else ""
    return [line.split(" ", 3) for line in text.splitlines()]


def wait_until(condition) -> None:
    """Look until it is so; another process makes it so, and says nothing."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


@pytest.mark.parametrize("killed", ["invoice", "write", "send"])
def test_every_order_is_mailed_though_a_service_is_killed(killed, tmp_path):
    outbox = tmp_path / "mails.txt"
    with (
        node_process("n1", "--data-dir", str(tmp_path / "1")) as n1,
        node_process("n2", "--data-dir", str(tmp_path / "2"), "--peer", n1.address) as n2,
        contextlib.ExitStack() as stack,
    ):
        places = {"invoice": n2.address, "write": n1.address, "send": n2.address}
        more = {"send": ("--file", str(outbox))}
        running = {
            name: stack.enter_context(service(name, node, *more.get(name, ())))
            for name, node in places.items()
        }
        with service("order", n1.address, "--count", str(ORDERS)) as orders:
            wait_until(lambda: len(lines_of(outbox)) >= KILLED_AFTER)
            running[killed].kill()
            assert running[killed].wait() == -9
            assert orders.wait(DEADLINE_S) == 0
        stack.enter_context(service(killed, places[killed], *more.get(killed, ())))
        wait_until(lambda: held(status_of(n1)) == held(status_of(n2)) == 0)
        sent = lines_of(outbox)
    times = Counter(order for _, _, order, _ in sent)
    assert set(times) == {f"o-{number}" for number in range(1, ORDERS + 1)}
    # A mail that came twice was first sent by the process that died before it could say so.
    first_by = {order: pid for pid, _, order, _ in reversed(sent)}
    doubled = [order for order, many in times.items() if many > 1]
    if killed != "send":
        assert doubled == [], "what stays in the mesh is settled and accepted in one step"
    assert all(first_by[order] == str(running["send"].pid) for order in doubled)
    assert all(times[order] == 2 for order in doubled)
