"""The configuration of a node: defaults, a TOML file, variables and flags as one frozen value.

`load` reads it, `describe` prints it with where each value came from.
"""

from trionode.config.description import changed_keys, describe
from trionode.config.loading import load
from trionode.config.sections import (
    Config,
    Http2,
    Limits,
    Logging,
    Node,
    Peers,
    Routing,
    Store,
    Types,
)

__all__ = [
    "Config",
    "Http2",
    "Limits",
    "Logging",
    "Node",
    "Peers",
    "Routing",
    "Store",
    "Types",
    "changed_keys",
    "describe",
    "load",
]
