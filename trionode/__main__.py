"""`python -m trionode`: the same as the `trionode` command."""

from __future__ import annotations

import sys

from trionode.cli import main

if __name__ == "__main__":
    sys.exit(main())
