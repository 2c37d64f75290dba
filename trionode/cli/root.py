"""The root of the command: which subcommands there are, and what every way to end means.

Exit status: 0 done, 1 failed (one line on stderr), 2 wrong usage, 130 interrupted, and the death by
SIGTERM that a supervisor expects. Subcommands are imported only when they are named.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from trionode.errors import Error

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE = 0
FAILED = 1
INTERRUPTED = 130
TRACEBACK_VARIABLE = "TRIONODE_TRACEBACK"

_SUBCOMMANDS = {
    "serve": "Run a node.",
    "push": "Push objects of a type.",
    "subscribe": "Print the objects of some types as they come.",
    "client": "Speak the line protocol on stdin and stdout.",
    "status": "Show a node, its peers and what it holds.",
    "query": "Find objects by their properties and fields.",
    "types": "Show the definitions of types.",
    "objects": "Look at the objects that a node holds.",
    "explain": "Say where an object is, and why it waits.",
    "dead": "Look after dead letters: list, show, retry, discard.",
    "ping": "Check that a node answers.",
    "forget": "Close the books on a node that is gone for good.",
    "demo": "Watch two nodes bring two objects to two clients.",
    "bench": "Measure push, deliver and ack through a node.",
    "store": "Look after a node's durable store.",
    "simulate": "Simulate a mesh under faults and check its promises.",
}

_EPILOG = """\b
Examples:
  trionode demo
  trionode serve --name n1 --listen 127.0.0.1:7401
  trionode serve --name n2 --listen 127.0.0.1:7402 --peer 127.0.0.1:7401
  trionode push Order '{"number": "o-1"}' --node 127.0.0.1:7401
  trionode subscribe Order --node 127.0.0.1:7402 --count 1

\b
Commands that talk to a node find it by --node, then $TRIONODE_NODE, then
127.0.0.1:7400. Several addresses are separated by commas; the next one is
tried when one fails.

\b
Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""


class Interrupted(Exception):  # noqa: N818  # not an error: the user asked for it
    """A signal asked the command to end, and it has put its things in order."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Failed(Exception):  # noqa: N818  # says what happened, like the library's `Refused`
    """The command could not do what was asked; the message is the line for stderr.

    An empty message ends it without a line: the reason is already on stderr, or nobody is there
    to read it.
    """


class _Subcommands(click.Group):
    """A group that imports a subcommand when it is named, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in _SUBCOMMANDS:
            return None
        module = importlib.import_module(f"trionode.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUBCOMMANDS.items()))


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  # click's signature
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415  # slow to import, rarely needed

        click.echo(f"trionode {version('trionode')}")
        ctx.exit()


@click.group(cls=_Subcommands, epilog=_EPILOG, no_args_is_help=True)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def root() -> None:
    """A mesh of equal nodes that brings typed objects to the services that process them."""


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911  # one way to end a line
    """Run the command; returns its exit status. Arguments default to the process's own."""
    try:
        status = root.main(arguments, prog_name="trionode", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _end_by(signal.SIGINT)
    except Interrupted as interruption:
        return _end_by(interruption.signum)
    except BrokenPipeError:
        return _nobody_reads()
    except (Error, Failed) as error:
        return _say(str(error))
    except OSError as error:
        return _say(str(error))
    except Exception as error:  # a defect of ours: still one line, with the way to the rest
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        return _say(
            f"internal error: {type(error).__name__}: {error}"
            f" (set {TRACEBACK_VARIABLE}=1 to see where)"
        )
    return status if isinstance(status, int) else DONE


def _say(message: str) -> int:
    if message:
        # A closed stderr must not turn a failure into a traceback.
        with contextlib.suppress(OSError, AttributeError):
            click.echo(f"trionode: {' '.join(message.split())}", err=True)
    return FAILED


def _end_by(signum: int) -> int:
    if signum == signal.SIGINT:
        return INTERRUPTED
    # Whoever sent the signal sees the process die by it, as if it had not been caught.
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    return 128 + signum


def _nobody_reads() -> int:
    # The interpreter flushes stdout at exit, which would complain: give it somewhere to go.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return FAILED
