"""The founding scenario as a story: what the demo starts, does, expects and says."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trionode.cli.processes import Child, Children, children, free_address
from trionode.cli.root import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEP_TIMEOUT_S = 20.0
"""Generous: a loaded machine is slow, and a step that is not seen at all fails anyway."""
ASK_AGAIN_S = 0.05
"""How often a node is asked for its status while a step waits for it to change."""
ANY_PORT = "127.0.0.1:0"
HELD = ("ready", "delayed", "leased", "transferring", "dead")


class Narrator:
    """Says what was seen, each step with the seconds since the story began."""

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] | None = None
    ) -> None:
        self._say = say
        self._clock = clock or trio.current_time
        self._began: float | None = None

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._say(f"\n{title}" if self._began is not None else title)
        if self._began is None:
            self._began = self._clock()

    def step(self, text: str) -> None:
        """Say that something was seen."""
        assert self._began is not None, "a step belongs to a chapter"
        self._say(f"  {self._clock() - self._began:6.2f} s  {text}")

    def end(self, text: str) -> None:
        """Say how it ended."""
        self._say(f"\n{text}")


@attrs.frozen
class Printed:
    """An object that a client was given: what its `OBJECT` line said."""

    type: str
    id: str
    attempt: int
    object: Any


class LineClient:
    """A `trionode client` process and the conversation with it."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._objects: list[Printed] = []

    async def command(self, line: str) -> str:
        """Give a command; returns what its `OK` carries.

        Raises:
            Failed: it was refused.
        """
        await self.child.send(line)
        while True:
            reply = await self.child.receive()
            word, _, rest = reply.partition(" ")
            if word == "OK":
                return rest
            if word == "ERR":
                raise Failed(f"{self.child.name} was refused {line!r}: {rest}")
            self._note(word, rest)

    async def next_object(self) -> Printed:
        """The next object that it is given."""
        while not self._objects:
            word, _, rest = (await self.child.receive()).partition(" ")
            self._note(word, rest)
        return self._objects.pop(0)

    async def status(self) -> dict[str, Any]:
        """The status of its node."""
        status: dict[str, Any] = json.loads(await self.command("STATUS"))
        return status

    def _note(self, word: str, rest: str) -> None:
        if word == "OBJECT":
            type_name, name, attempt, document = rest.split(" ", 3)
            self._objects.append(Printed(type_name, name, int(attempt), json.loads(document)))
        elif word == "LOST":
            raise Failed(f"{self.child.name} lost a delivery: {rest}")


def held(status: dict[str, Any]) -> int:
    """How many objects a node holds, in any state."""
    return sum(int(counts[state]) for counts in status["types"].values() for state in HELD)


def settled(status: dict[str, Any], type_name: str) -> int:
    """How many objects of a type have been settled at a node."""
    return int(status["types"].get(type_name, {}).get("settled", 0))


def linked(status: dict[str, Any], peer: str) -> bool:
    """Whether a node has a link to a peer."""
    return any(each["name"] == peer and each["state"] == "linked" for each in status["peers"])


async def tell(narrator: Narrator) -> None:
    """Play the whole story.

    Raises:
        Failed: a step was not seen; the message says which.
    """
    with tempfile.TemporaryDirectory(prefix="trionode-demo-") as directory:
        narrator.chapter("Two nodes, two clients, two types: subscriptions first")
        async with children() as processes:
            pair = await _start_in_order(processes, narrator, Path(directory) / "first")
            await _play(processes, narrator, pair, pushes_first=False)
            narrator.chapter("The same with the pushes before the subscriptions")
            await _play(processes, narrator, pair, pushes_first=True)
        narrator.chapter("The same with the nodes started in the other order")
        async with children() as processes:
            pair = await _start_in_reverse(processes, narrator, Path(directory) / "second")
            await _play(processes, narrator, pair, pushes_first=False)
        narrator.end("Every step was seen: each object reached the client that wanted it, once.")


async def _start_in_order(
    processes: Children, narrator: Narrator, directory: Path
) -> tuple[str, str]:
    with _limit("node n1 to listen"):
        _, first = await processes.spawn_node(
            "n1", _node_arguments("127.0.0.1:0", directory / "n1")
        )
    narrator.step(f"node n1 listens on {first}")
    with _limit("node n2 to listen"):
        _, second = await processes.spawn_node(
            "n2", [*_node_arguments(ANY_PORT, directory / "n2"), "--peer", first]
        )
    narrator.step(f"node n2 listens on {second}, told of n1")
    return first, second


async def _start_in_reverse(
    processes: Children, narrator: Narrator, directory: Path
) -> tuple[str, str]:
    address = free_address()
    with _limit("node n2 to listen"):
        _, second = await processes.spawn_node(
            "n2", [*_node_arguments(ANY_PORT, directory / "n2"), "--peer", address]
        )
    narrator.step(f"node n2 listens on {second}, told of n1, which is not there yet")
    with _limit("node n1 to listen"):
        _, first = await processes.spawn_node("n1", _node_arguments(address, directory / "n1"))
    narrator.step(f"node n1 listens on {first}")
    return first, second


def _node_arguments(address: str, directory: Path) -> list[str]:
    return ["--listen", address, "--data-dir", str(directory)]


async def _play(
    processes: Children, narrator: Narrator, pair: tuple[str, str], *, pushes_first: bool
) -> None:
    """The scenario itself, on two running nodes."""
    one = LineClient(await processes.spawn("client 1", ["client", "--node", pair[0]]))
    two = LineClient(await processes.spawn("client 2", ["client", "--node", pair[1]]))
    before = await _see_link(narrator, one, two)
    if pushes_first:
        pushed = await _push(narrator, one, two)
        await _subscribe(narrator, one, two)
    else:
        await _subscribe(narrator, one, two)
        pushed = await _push(narrator, one, two)
    await _exchange(narrator, one, two, pushed)
    await _see_empty(narrator, one, two, before)
    for client in (one, two):
        with _limit(f"{client.child.name} to end"):
            await client.command("QUIT")
            await client.child.wait()


async def _see_link(narrator: Narrator, one: LineClient, two: LineClient) -> tuple[int, int]:
    """Wait for the link; returns how many B n1 and how many A n2 have settled so far."""
    with _limit("the link between n1 and n2"):
        at_one = await _status_when(one, lambda status: linked(status, "n2"))
        at_two = await _status_when(two, lambda status: linked(status, "n1"))
    narrator.step("n1 and n2 are linked; client 1 is connected to n1, client 2 to n2")
    return settled(at_one, "B"), settled(at_two, "A")


async def _subscribe(narrator: Narrator, one: LineClient, two: LineClient) -> None:
    with _limit("the subscriptions"):
        await one.command("SUBSCRIBE B")
        narrator.step("client 1 subscribes to type B at n1")
        await two.command("SUBSCRIBE A")
        narrator.step("client 2 subscribes to type A at n2")


async def _push(narrator: Narrator, one: LineClient, two: LineClient) -> tuple[str, str]:
    with _limit("the pushes to be acknowledged"):
        object_a = await one.command('PUSH A {"from": "client 1"}')
        narrator.step(f"client 1 pushes an A at n1, acknowledged as {object_a}")
        object_b = await two.command('PUSH B {"from": "client 2"}')
        narrator.step(f"client 2 pushes a B at n2, acknowledged as {object_b}")
    return object_a, object_b


async def _exchange(
    narrator: Narrator, one: LineClient, two: LineClient, pushed: tuple[str, str]
) -> None:
    object_a, object_b = pushed
    await _receive(narrator, two, Printed("A", object_a, 1, {"from": "client 1"}))
    await _receive(narrator, one, Printed("B", object_b, 1, {"from": "client 2"}))


async def _receive(narrator: Narrator, client: LineClient, expected: Printed) -> None:
    name = client.child.name
    with _limit(f"{name} to be given {expected.type} {expected.id}"):
        printed = await client.next_object()
    if printed != expected:
        raise Failed(f"{name} was given {printed} where {expected} was due")
    narrator.step(f"{name} is given the {printed.type}: {json.dumps(printed.object)}")
    with _limit(f"the ack of {printed.id}"):
        await client.command(f"ACK {printed.id}#{printed.attempt}")
    narrator.step(f"{name} acknowledges it: {printed.id} is settled")


async def _see_empty(
    narrator: Narrator, one: LineClient, two: LineClient, before: tuple[int, int]
) -> None:
    with _limit("both nodes to be empty"):
        at_one = await _status_when(one, lambda status: not held(status))
        at_two = await _status_when(two, lambda status: not held(status))
    counts = settled(at_one, "B") - before[0], settled(at_two, "A") - before[1]
    if counts != (1, 1):
        raise Failed(f"n1 settled {counts[0]} B and n2 settled {counts[1]} A where one each is due")
    narrator.step("n1 has settled one B, n2 one A, and both nodes are empty")


async def _status_when(
    client: LineClient, predicate: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The first status of a client's node that is as awaited."""
    while True:
        status = await client.status()
        if predicate(status):
            return status
        await trio.sleep(ASK_AGAIN_S)


@contextlib.contextmanager
def _limit(awaited: str) -> Iterator[None]:
    """A block that fails when what it waits for is not seen in time."""
    with trio.move_on_after(STEP_TIMEOUT_S) as scope:
        yield
    if scope.cancelled_caught:
        raise Failed(f"waited {STEP_TIMEOUT_S:.0f} s in vain for {awaited}")
