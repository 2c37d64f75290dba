"""Ctrl-C while the client itself runs: the user's task is interrupted, and leaves in order."""

from __future__ import annotations

import signal

import pytest
import trio

from tests.support.nodes import ScriptedNode, mesh

WHERE = ["in the consumer stream's reader", "in the connection's reader", "in the user's task"]


class Interrupting:
    """A stream whose next read, once armed, is interrupted."""

    def __init__(self, stream) -> None:
        self.stream = stream
        self.armed = False

    async def receive_some(self, max_bytes=None):
        data = await self.stream.receive_some(max_bytes)
        if self.armed:
            self.armed = False
            signal.raise_signal(signal.SIGINT)
        return data

    def __getattr__(self, name):
        return getattr(self.stream, name)


@pytest.mark.parametrize("where", WHERE)
def test_an_interrupt_returns_deliveries_uncounted(where):
    node = ScriptedNode()
    seen = []

    async def main() -> None:
        async with mesh(n1=node) as world:
            dial, streams = world.dial, []

            async def dial_noting(address):
                streams.append(Interrupting(await dial(address)))
                return streams[-1]

            world.dial = dial_noting
            try:
                async with world.client() as client:
                    await use(client, streams)
            except BaseException as error:
                seen.append(type(error))
                with trio.CancelScope(shield=True):
                    await node.until(lambda: not node.consumers)
                raise

    async def use(client, streams) -> None:
        _, two = node.put("A", b"1", b"2")

        def interrupt(*_):
            signal.raise_signal(signal.SIGINT)

        on_lost = interrupt if where == WHERE[0] else None
        async with client.subscribe("A", on_lost=on_lost) as deliveries:
            ends.extend(node.consumers)
            with await anext(deliveries):
                await anext(deliveries)
                if where == WHERE[0]:
                    node.lose(two)
                elif where == WHERE[1]:
                    streams[0].armed = True
                    node.put("A", b"3")
                else:
                    interrupt()
                await trio.sleep_forever()

    ends = []
    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(main)
    assert caught.group_contains(KeyboardInterrupt)
    assert seen == [KeyboardInterrupt]
    assert [stream.clean for stream in ends] == [True]
    assert {action for action, *_ in node.settled} == {"return"}
