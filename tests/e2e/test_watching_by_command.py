"""`trionode subscribe --watch`: copies on stdout, the objects untouched."""

from __future__ import annotations

import json

import trio

import trionode
from tests.support.processes import count, started, status_when


async def test_copies_are_printed_with_how_they_came_and_nothing_is_taken(node, kind):
    async with trionode.connect(node.address) as client:
        before = (await client.status())["watchers"]
        with started(
            "subscribe", f"{kind}.*", "--watch", "--count", "2", "--timeout", "20",
            "--node", node.address,
        ) as watching:  # fmt: skip
            await status_when(client, lambda status: status["watchers"] == before + 1)
            await client.push(1, type=f"{kind}.a")
            await client.push([2], type=f"{kind}.a")
            out, _ = await trio.to_thread.run_sync(watching.communicate)
        assert watching.returncode == 0
        printed = [json.loads(line) for line in out.splitlines()]
        assert [(each["type"], each["object"], each["how"]) for each in printed] == [
            (f"{kind}.a", 1, "accepted"),
            (f"{kind}.a", [2], "accepted"),
        ]
        status = await status_when(client, lambda status: status["watchers"] == before)
        assert count(status, f"{kind}.a", "ready") == 2
