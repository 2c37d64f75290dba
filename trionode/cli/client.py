"""`trionode client`: the line protocol on stdin and stdout, for programs in any language."""

from __future__ import annotations

import click

import trionode
from trionode.cli.options import node_option
from trionode.cli.pipes import Writer, read_lines
from trionode.cli.running import run
from trionode.cli.session import converse

_EPILOG = """\b
Commands, one a line, and their replies, one per command, in order:
  DEFINE <type> [<json schema>]         OK <fingerprint>
  PUSH <type> <json>                    OK <id>
  PUSHB <type> <base64>                 OK <id>
  SUBSCRIBE <type> [<credit>]           OK      (credit 1; again sets it; billing.* is any type
                                                of billing with one more segment, billing.>
                                                with one or more)
  UNSUBSCRIBE <type>                    OK
  ACK <id>[#<attempt>]                  OK
  NACK <id>[#<attempt>] [<delay s>]     OK
  REJECT <id>[#<attempt>] [<reason>]    OK
  STATUS                                OK <json>
  PING                                  OK
  QUIT                                  OK      (or end of input)
A command that fails is answered with ERR <grpc status name> <message>.

\b
In between come, for subscriptions:
  OBJECT <type> <id> <attempt> <json on one line>
  BYTES <type> <id> <attempt> <base64>
  LOST <id> <attempt> <reason>
Skip lines that you do not know. What is not settled at the end returns.

\b
Example:
  printf 'PUSH Order {"number":"o-1"}\\nQUIT\\n' | trionode client
"""


@click.command(epilog=_EPILOG)
@node_option
def command(node: tuple[str, ...]) -> None:
    """Speak the line protocol on stdin and stdout, for programs in any language."""
    run(_converse, node)


async def _converse(node: tuple[str, ...]) -> None:
    async with trionode.connect(*node) as client:
        await converse(client, read_lines(), Writer().write)
