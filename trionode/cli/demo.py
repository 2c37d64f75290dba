"""`trionode demo`: the founding scenario with real processes, told step by step."""

from __future__ import annotations

import click

_EPILOG = """\b
What you see:
  Two nodes, linked. Client 1, at node n1, wants objects of type B and makes
  one of type A. Client 2, at node n2, wants A and makes a B. Each gets the
  other's object, and both nodes end empty. Then the same with the pushes
  before the subscriptions, and with the nodes started in the other order.

\b
Everything runs on this machine, on free ports, with data in a temporary
directory, and is gone afterwards.
"""


@click.command(epilog=_EPILOG)
def command() -> None:
    """Watch two nodes bring two objects to two clients.

    Starts real node and client processes; exits 0 only when every step was seen.
    """
    from trionode.cli.running import run  # noqa: PLC0415  # imports trio, which help does not need
    from trionode.cli.scenario import Narrator, tell  # noqa: PLC0415  # the same

    run(tell, Narrator(click.echo))
