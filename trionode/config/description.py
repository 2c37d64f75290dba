"""Showing a configuration to a person, and telling two apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trionode.config.sections import SECTIONS, fields_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.config.sections import Config

DEFAULT_ORIGIN = "default"


def describe(config: Config) -> str:
    """Every value in force and where it came from, as TOML that loads to the same configuration."""
    return "\n".join(_lines(config))


def changed_keys(old: Config, new: Config) -> tuple[str, ...]:
    """The `section.key` of every value that differs between two configurations."""
    return tuple(
        f"{section}.{key}"
        for section in SECTIONS
        for key in fields_of(section)
        if getattr(getattr(old, section), key) != getattr(getattr(new, section), key)
    )


def _lines(config: Config) -> Iterator[str]:
    for section in SECTIONS:
        if section != next(iter(SECTIONS)):
            yield ""
        yield f"[{section}]"
        for key in fields_of(section):
            value = getattr(getattr(config, section), key)
            origin = config.origins.get(f"{section}.{key}", DEFAULT_ORIGIN)
            # A comment of TOML may hold no control character, a path may.
            yield f"{key} = {toml_value(value)}  # {_printable(origin)}"


def toml_value(value: Any) -> str:
    """A value as TOML; JSON writes its texts, numbers, switches and lists the same way."""
    return json.dumps(value, ensure_ascii=False)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
