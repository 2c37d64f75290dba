"""Validators of configuration fields that also say, in words, what they allow.

The same words serve when a value has the wrong type and when it is out of bounds.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import attrs

from trionode.net.dialler import parse_address

if TYPE_CHECKING:
    from collections.abc import Callable

NAME_MAX_CHARACTERS = 100
SECONDS_MAX = 366 * 24 * 3600
"""A year; a timeout above it is a mistake of units."""
COUNT_MAX = 2**48
"""More than any machine has of anything."""

_NAME = re.compile(rf"[\w.-]{{1,{NAME_MAX_CHARACTERS}}}", re.ASCII)
NAME_ALLOWED = f"1 to {NAME_MAX_CHARACTERS} of the letters a-z and A-Z, digits, '_', '.' and '-'"
_ADDRESS_ALLOWED = "HOST:PORT or [IPv6]:PORT, with a port from {first} to 65535"


class InvalidValue(ValueError):  # noqa: N818  # says what it is about, not only that it failed
    """A field holds what it must not.

    Attributes:
        key: the field's name.
        found: the value, or the part of it that is wrong.
        allowed: what could stand there.
    """

    def __init__(self, key: str, found: object, allowed: str) -> None:
        super().__init__(f"{key} is {shown(found)}, allowed is {allowed}")
        self.key = key
        self.found = found
        self.allowed = allowed


@attrs.frozen
class Check:
    """A validator for attrs: raises InvalidValue unless the value is accepted.

    Attributes:
        allowed: what is accepted, to be read after "allowed is".
        accepts: whether a value, or each item of it, is right.
        each: the field is a tuple, and each item is looked at.
        at_least: how many items a tuple must have.
    """

    allowed: str
    accepts: Callable[[Any], bool]
    each: bool = False
    at_least: int = 0

    def __call__(self, _instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        """Look at the value of a field that is being set.

        Raises:
            InvalidValue: it is not accepted.
        """
        if not self.each:
            self._look_at(attribute.name, value)
            return
        if len(value) < self.at_least:
            raise InvalidValue(attribute.name, list(value), self.allowed)
        for item in value:
            self._look_at(attribute.name, item)

    def _look_at(self, key: str, value: Any) -> None:
        if not self.accepts(value):
            raise InvalidValue(key, value, self.allowed)


def shown(value: object) -> str:
    """A value for an error message: as written in TOML where that is simple, and never long."""
    try:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
    except (ValueError, RecursionError):
        # TOML can hold integers and nestings that Python reads and does not write.
        text = f"something that is too large to show (of type {type(value).__name__})"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


_SHOWN_CHARACTERS = 120


def count(at_least: int = 1, at_most: int = COUNT_MAX) -> Check:
    """A whole number between two bounds."""
    return Check(
        f"a whole number from {at_least} to {at_most}", lambda value: at_least <= value <= at_most
    )


def seconds(at_least: float = 0.0) -> Check:
    """A time in seconds."""
    return Check(
        f"a number of seconds from {at_least:g} to {SECONDS_MAX}",
        lambda value: math.isfinite(value) and at_least <= value <= SECONDS_MAX,
    )


def fraction() -> Check:
    """A part of a whole."""
    return Check("a number above 0 and up to 1", lambda value: 0 < value <= 1)


def switch() -> Check:
    """On or off."""
    return Check("true or false", lambda value: isinstance(value, bool))


def choice(*values: str) -> Check:
    """One of some words."""
    words = " or ".join(f'"{value}"' for value in values)
    return Check(words, lambda value: value in values)


def node_name() -> Check:
    """The name of a node; empty is the default."""
    return Check(NAME_ALLOWED, lambda value: value == "" or _NAME.fullmatch(value) is not None)


def directory() -> Check:
    """A path of a directory; empty is the default."""
    return Check("a path without control characters", str.isprintable)


def address_or_nothing() -> Check:
    """An address that others can dial, or an empty text."""
    return Check(
        f'{_ADDRESS_ALLOWED.format(first=1)}, or "" for none',
        lambda value: value == "" or _is_address(value, 1),
    )


def listen_addresses() -> Check:
    """Addresses to listen on, at least one; port 0 stands for a free port."""
    allowed = f"a list of one or more {_ADDRESS_ALLOWED.format(first=0)}"
    return Check(allowed, lambda value: _is_address(value, 0), each=True, at_least=1)


def peer_addresses() -> Check:
    """Addresses to dial, maybe none."""
    allowed = f"a list of {_ADDRESS_ALLOWED.format(first=1)}"
    return Check(allowed, lambda value: _is_address(value, 1), each=True)


def name_from_host(host: str) -> str:
    """The nearest allowed node name to a host's name."""
    name = re.sub(r"[^\w.-]", "-", host, flags=re.ASCII)[:NAME_MAX_CHARACTERS]
    return name or "node"


def _is_address(text: str, first_port: int) -> bool:
    try:
        _, port = parse_address(text)
    except ValueError:
        return False
    return port >= first_port and text == text.strip()
