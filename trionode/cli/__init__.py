"""The `trionode` command. One file per subcommand; each imports what it needs when it runs."""

from __future__ import annotations

from trionode.cli.root import main

__all__ = ["main"]
