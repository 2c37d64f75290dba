"""What a type is called and what defines it. Values and rules only."""

from __future__ import annotations

import re

import attrs

from trionode.errors import Refused, Status

MAX_TYPE_NAME_BYTES = 200
"""Longest name of a type; it travels with every batch and keys every table."""

_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_ALLOWED = (
    f"a type's name is at most {MAX_TYPE_NAME_BYTES} letters, digits, '_' and '-' in segments "
    "separated by single dots, like billing.Invoice"
)
_PATTERN = re.compile(r"(?:(?:[A-Za-z0-9_-]+|\*)\.)*(?:[A-Za-z0-9_-]+|[*>])")
_ALLOWED_PATTERN = (
    "a pattern is a type's name in which '*' takes the place of one whole segment, and '>' that of "
    "one or more at its end, like billing.* or billing.>"
)
_SIGNS = frozenset("*>")


@attrs.frozen
class Definition:
    """One definition of a type: its JSON Schema and the schema's fingerprint."""

    type: str
    fingerprint: str
    schema: str


def check_type_name(name: str) -> str:
    """The name itself, when it may name a type.

    Raises:
        Refused: INVALID_ARGUMENT, saying what was found and what is allowed.
    """
    if len(name) <= MAX_TYPE_NAME_BYTES and _NAME.fullmatch(name) is not None:
        return name
    raise Refused(Status.INVALID_ARGUMENT, f"{_shown(name)} cannot name a type", _ALLOWED)


def check_key(key: str) -> str:
    """The key itself, when it may be subscribed to: a type's name, or a pattern of names.

    Raises:
        Refused: INVALID_ARGUMENT, saying what was found and what is allowed.
    """
    if _SIGNS.isdisjoint(key):
        return check_type_name(key)
    if len(key) <= MAX_TYPE_NAME_BYTES and _PATTERN.fullmatch(key) is not None:
        return key
    text = f"{_shown(key)} is no pattern of types' names"
    raise Refused(Status.INVALID_ARGUMENT, text, _ALLOWED_PATTERN)


def _shown(name: str) -> str:
    return ascii(name if len(name) <= MAX_TYPE_NAME_BYTES else name[:40] + "...")
