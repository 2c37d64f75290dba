"""`trionode bench`: how fast objects go through a node, and how long one takes."""

from __future__ import annotations

import json
from typing import Any

import click

from trionode.cli.options import NODE_VARIABLE, parse_addresses
from trionode.cli.running import run

STAMP_BYTES = 16
"""What the benchmark itself writes into each payload: the object's number and its time."""
PAYLOAD_MAX_BYTES = 4 * 1024 * 1024
_EPILOG = """\b
One process pushes, one subscribes and acknowledges, at full speed; then again
at a modest rate, where the latency is that of the node and not of a queue.
Every object is checked to have come, and been settled, exactly once.

\b
Without --node the benchmark starts a node of its own on a free port.

\b
Examples:
  trionode bench
  trionode bench --count 1000000 --size 1024 --credit 1024
  trionode bench --node 10.0.0.1:7400 --json | jq .latency_ms.p99
"""
