"""The nodes that `trionode bench` measures: its own, or those it is given.

Of its own nodes it also knows the processes, and what memory and processor time these take. That is
read from `/proc`; where there is none, nothing is told.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

import trionode
from trionode.cli.root import Failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trionode.cli.processes import Child, Children

LINK_TIMEOUT_S = 10.0
POLL_S = 0.01
MEMORY_LIMIT_BYTES = 8 * 1024**3
"""Of own nodes, so that it is the backlog asked for that is measured, and not the limit."""


@attrs.define
class Nodes:
    """Where objects are pushed and where they are taken.

    Attributes:
        push_at: addresses for the producers.
        take_at: addresses for the consumers.
        own: the processes, in the order of the chain; empty when the nodes are not ours.
        start_s: how long each took from its start to its ready line.
    """

    push_at: list[str]
    take_at: list[str]
    own: list[Child] = attrs.field(factory=list)
    start_s: list[float] = attrs.field(factory=list)

    def memory_bytes(self) -> int | None:
        """The resident memory of the node that is pushed to."""
        return resident_bytes(self.own[0].pid) if self.own else None

    def processor_s(self) -> float | None:
        """The processor time that the node pushed to has used."""
        return processor_s(self.own[0].pid) if self.own else None

    async def settled(self, types: Sequence[str]) -> int:
        """How many objects of these types were settled where they are taken."""
        async with trionode.connect(*self.take_at) as client:
            found = (await client.status())["types"]
        return sum(int(found[name]["settled"]) for name in types if name in found)


async def start_chain(processes: Children, directory: Path, count: int, *, durable: bool) -> Nodes:
    """Start so many nodes of our own, each linked to the next and to no other."""
    config = directory / "bench.toml"
    config.write_text(
        f"[peers]\ndiscovery = false\n[limits]\nmemory_bytes = {MEMORY_LIMIT_BYTES}\n"
    )
    nodes, addresses = Nodes([], []), list[str]()
    for index in range(count):
        name = f"bench-{index + 1}"
        arguments = ["--config", str(config), "--listen", "127.0.0.1:0"]
        arguments += ["--data-dir", str(directory / name)] + ([] if durable else ["--memory"])
        arguments += ["--peer", addresses[-1]] if addresses else []
        began = time.monotonic()
        child, address = await processes.spawn_node(name, arguments)
        nodes.start_s.append(round(time.monotonic() - began, 3))
        nodes.own.append(child)
        addresses.append(address)
    for address in addresses[1:]:
        await _linked(address)
    nodes.push_at, nodes.take_at = addresses[:1], addresses[-1:]
    return nodes


async def _linked(address: str) -> None:
    async with trionode.connect(address) as client:
        with trio.move_on_after(LINK_TIMEOUT_S):
            while True:
                peers: list[dict[str, Any]] = (await client.status())["peers"]
                if any(peer["state"] == "linked" for peer in peers):
                    return
                await trio.sleep(POLL_S)
    raise Failed(f"the node at {address} was not linked to its peer within {LINK_TIMEOUT_S:g} s")


def resident_bytes(pid: int) -> int | None:
    """The memory that a process has; None where the system does not say."""
    text = _proc(pid, "statm")
    return None if text is None else int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def processor_s(pid: int) -> float | None:
    """The processor time that a process has used; None where the system does not say."""
    text = _proc(pid, "stat")
    if text is None:
        return None
    # The command's name, in parentheses, may hold spaces: fields are counted from behind it.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _proc(pid: int, name: str) -> str | None:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return None
