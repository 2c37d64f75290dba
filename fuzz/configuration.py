"""Any file and any variables make a configuration or a ConfigurationError, and nothing else.

A configuration that comes out is usable and shows itself as TOML that loads to the same. Input: the
file, then variables as NAME=VALUE, each after a NUL; TRIONODE_CONF_ goes before NAME if it begins
with no such prefix of ours or systemd's.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fuzz import invariant
from trionode.config import Config, changed_keys, describe, load
from trionode.config.loading import STATE_VARIABLE
from trionode.config.sources import VARIABLE_PREFIX
from trionode.errors import ConfigurationError

MAX_BYTES = 8192


def variables_in(data: bytes) -> dict[str, str]:
    """The variables as `os.environ` would hold them."""
    environ = {}
    for item in data.split(b"\0"):
        name, mark, value = os.fsdecode(item).partition("=")
        if mark:
            known = name == STATE_VARIABLE or name.startswith(VARIABLE_PREFIX)
            environ[name if known else VARIABLE_PREFIX + name] = value
    return environ


def load_text(text: bytes, environ: dict[str, str]) -> Config:
    """The configuration that a file with this text makes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.toml"
        path.write_bytes(text)
        return load(path, environ, {})


@invariant
def check(data: bytes) -> None:
    text, _, variables = data.partition(b"\0")
    try:
        config = load_text(text, variables_in(variables))
    except ConfigurationError as error:
        assert str(error)
        return
    config.routing_options()
    config.connection_options()
    again = load_text(describe(config).encode(), {})
    assert changed_keys(config, again) == ()
