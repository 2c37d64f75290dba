"""The cattrs converters that turn what a source holds into the type of a field, without guessing.

One for TOML, where a value has a type already, and one for the text of variables and flags.
"""

from __future__ import annotations

from typing import Any

from cattrs import Converter

LIST_SEPARATOR = ","

_WORDS = {"true": True, "false": False}


def toml_converter() -> Converter:
    """From TOML's values: no text for numbers, no numbers for switches."""
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook(bool, lambda value, _: _exactly(bool, value))
    converter.register_structure_hook(int, lambda value, _: _exactly(int, value))
    converter.register_structure_hook(str, lambda value, _: _exactly(str, value))
    converter.register_structure_hook(float, lambda value, _: _number(value))
    converter.register_structure_hook_func(_is_list, lambda value, _: _texts(value))
    return converter


def text_converter() -> Converter:
    """From text: lists are separated by commas, switches are `true` and `false`."""
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook(bool, lambda value, _: _WORDS[value.strip().lower()])
    converter.register_structure_hook(int, lambda value, _: int(value))
    converter.register_structure_hook(str, lambda value, _: value)
    converter.register_structure_hook(float, lambda value, _: float(value))
    converter.register_structure_hook_func(_is_list, lambda value, _: _split(value))
    return converter


UNFIT = (ValueError, TypeError, KeyError, OverflowError)
"""What the converters raise for a value that doesn't fit."""


def _is_list(kind: Any) -> bool:
    return bool(kind == tuple[str, ...])


def _exactly(kind: type, value: Any) -> Any:
    if type(value) is not kind:  # bool is a subclass of int, and must not pass for one
        raise TypeError(value)
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(value)
    return float(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(value)
    return tuple(value)


def _split(text: str) -> tuple[str, ...]:
    items = (item.strip() for item in text.split(LIST_SEPARATOR))
    return tuple(item for item in items if item)
