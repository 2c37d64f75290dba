"""A word on stderr about what a command waits for, when a node keeps it waiting."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import click
import trio

from trionode.errors import Error

if TYPE_CHECKING:
    from typing import Any

    from trionode.client import Client

PATIENCE_S = 3.0
"""Waits that are shorter than this are nothing to speak of."""
LOOK_S = 1.0
ASK_S = 5.0
"""A node that says nothing for so long does not answer."""
NEARLY_FULL = 0.8
"""Part of its memory beyond which a node that takes nothing is full: pushes stop at 85 %."""


class Patience:
    """Looks how long the outcome of something is awaited, and tells why it does not come.

    `since` is when the wait that goes on began, on trio's clock; who waits sets it.
    """

    def __init__(self, client: Client, addresses: tuple[str, ...]) -> None:
        self._client = client
        self._addresses = addresses
        self.since: float | None = None

    async def watch(self) -> None:
        """Task: tell each reason once, and when it goes on."""
        told = ""
        while True:
            await trio.sleep(LOOK_S)
            since = self.since
            if since is None or trio.current_time() - since < PATIENCE_S:
                if told:
                    click.echo("trionode: it goes on", err=True)
                    told = ""
                continue
            reason = await self._reason()
            if reason != told and self.since == since:
                began = dt.datetime.now().astimezone() - dt.timedelta(
                    seconds=trio.current_time() - since
                )
                click.echo(f"trionode: waiting since {began:%H:%M:%S}: {reason}", err=True)
                told = reason

    async def _reason(self) -> str:
        status = None
        with trio.move_on_after(ASK_S):
            try:
                status = await self._client.status()
            except Error as error:
                return str(error)
        if status is None:
            return f"no answer from {', '.join(self._addresses) or 'the node'}"
        return f"node {status['name']} {_why(status)}"


def _why(status: dict[str, Any]) -> str:
    if status["state"] == "not_serving":
        return f"cannot store what it was sent: {status['store']['state']}"
    if status["state"] != "running":
        return f"is {status['state']}"
    memory = status["memory"]
    if memory["bytes"] >= NEARLY_FULL * memory["limit"]:
        return "is full: what it holds must be processed first"
    return "has not acknowledged what it was sent"
