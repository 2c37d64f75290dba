"""What each source of configuration says: single settings, each with where it was found.

Reads the file; knows how variables and flags are spelled. Judges names, not values.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from trionode.config.checks import shown
from trionode.config.sections import SECTIONS, fields_of
from trionode.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

VARIABLE_PREFIX = "TRIONODE_CONF_"
VARIABLE_SEPARATOR = "__"

FLAGS: dict[str, tuple[str, str]] = {
    "--name": ("node", "name"),
    "--listen": ("node", "listen"),
    "--data-dir": ("node", "data_dir"),
    "--peer": ("peers", "addresses"),
    "--memory": ("store", "kind"),
}
"""The flags of `trionode serve` that stand for a key."""

FILE_MAX_BYTES = 1 << 20
"""A configuration is a page or two; what is longer is another file."""


@attrs.frozen
class Setting:
    """A value that some source gives to a key.

    Attributes:
        section: one of the sections of `Config`.
        key: one of its fields.
        value: as it was found.
        origin: the file, variable or flag, as a person would name it.
        is_text: the value is text to be read, not a value of TOML.
    """

    section: str
    key: str
    value: Any
    origin: str
    is_text: bool


@attrs.frozen
class Problem:
    """Something that cannot be used, and where it is."""

    origin: str
    text: str


def from_file(path: str | os.PathLike[str]) -> Iterator[Setting | Problem]:
    """The settings of a TOML file.

    Raises:
        ConfigurationError: it cannot be read, or it is not TOML.
    """
    origin = os.fspath(path)
    for section, table in _read(origin).items():
        if section not in SECTIONS:
            yield Problem(origin, _unknown_section(section))
        elif not isinstance(table, dict):
            yield Problem(origin, f"{section} is {shown(table)}, allowed is a table, [{section}]")
        else:
            for key, value in table.items():
                if key in fields_of(section):
                    yield Setting(section, key, value, origin, is_text=False)
                else:
                    hint = _nearest(key, fields_of(section))
                    yield Problem(origin, f"unknown key {section}.{key}{hint}")


def from_variables(environ: Mapping[str, str]) -> Iterator[Setting | Problem]:
    """The settings of the variables that begin with `TRIONODE_CONF_`."""
    known = {
        f"{VARIABLE_PREFIX}{section}{VARIABLE_SEPARATOR}{key}".upper(): (section, key)
        for section in SECTIONS
        for key in fields_of(section)
    }
    for name, text in sorted(environ.items()):
        if not name.upper().startswith(VARIABLE_PREFIX):
            continue
        origin = f"variable {name}"
        if name in known:
            yield Setting(*known[name], text, origin, is_text=True)
        else:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)
            yield Problem(origin, f"unknown variable, the nearest allowed is {nearest[0]}")


def from_flags(flags: Mapping[str, object]) -> Iterator[Setting | Problem]:
    """The settings of the flags that were given; None, False and an empty list were not.

    Raises:
        KeyError: a flag that stands for no key.
    """
    for flag, value in flags.items():
        section, key = FLAGS[flag]
        if value is None or value is False:
            continue
        if isinstance(value, list | tuple) and not value:
            continue
        origin = f"flag {flag}"
        if value is True:
            yield Setting(section, key, flag.removeprefix("--"), origin, is_text=True)
        elif isinstance(value, list | tuple):
            yield Setting(section, key, list(value), origin, is_text=False)
        else:
            assert isinstance(value, str | os.PathLike)
            yield Setting(section, key, os.fspath(value), origin, is_text=True)


def _read(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > FILE_MAX_BYTES:
        raise ConfigurationError(f"{path}: not a configuration, longer than {FILE_MAX_BYTES} bytes")
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error


def _unknown_section(section: str) -> str:
    owners = [owner for owner in SECTIONS if section in fields_of(owner)]
    if owners:
        return f"{section} stands outside a section, it belongs in [{owners[0]}]"
    return f"unknown section [{section}]{_nearest(section, SECTIONS)}"


def _nearest(word: str, allowed: Iterable[str]) -> str:
    allowed = list(allowed)
    near = difflib.get_close_matches(word.lower(), allowed, n=1)
    guess = f", did you mean {near[0]}?" if near else ""
    return f"{guess} (allowed: {', '.join(allowed)})"
