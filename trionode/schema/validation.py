"""Validation of payloads against one schema: jsonschema-rs, shut off from network and disk.

Its defaults fetch references and backtrack in regular expressions; here references lead nowhere and
the regular expressions are those of a linear-time engine (no look-around, no back-references).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import jsonschema_rs

from trionode.errors import Refused, Status
from trionode.schema.formats import is_base64, is_decimal
from trionode.schema.strict_json import parse_json

if TYPE_CHECKING:
    from trionode.schema.document import Document

MAX_PATTERN_BYTES = 1 << 20
"""Memory of one compiled regular expression; more takes long to compile, in a few characters."""
MAX_MESSAGE_CHARACTERS = 300
"""Longest account of a refusal: names of properties in it come from the payload."""

_MASK = "the value"  # payloads stay out of error messages, which end up in logs


def _refuse_fetch(uri: str) -> NoReturn:
    raise ValueError(f"references to other documents are off: {uri}")


def _no_pattern(_: str) -> bool:
    """`format: regex` is not checked: it would compile what a payload brings."""
    return True


class PayloadValidator:
    """Says whether payloads are valid under one schema. Immutable."""

    __slots__ = ("_type", "_validator")

    def __init__(self, type_name: str, document: Document) -> None:
        """Compile the schema.

        Raises:
            Refused: INVALID_ARGUMENT: not a valid JSON Schema; says where in it.
        """
        self._type = type_name
        try:
            self._validator = jsonschema_rs.validator_for(
                document.root,
                retriever=_refuse_fetch,
                pattern_options=jsonschema_rs.RegexOptions(
                    size_limit=MAX_PATTERN_BYTES, dfa_size_limit=MAX_PATTERN_BYTES
                ),
                validate_formats=True,
                ignore_unknown_formats=True,
                formats={"regex": _no_pattern, "decimal": is_decimal, "byte": is_base64},
                mask=_MASK,
            )
        except jsonschema_rs.ValidationError as error:
            raise Refused(
                Status.INVALID_ARGUMENT,
                f"bad schema: at {json_path(error.instance_path)}: {_short(error.message)}",
            ) from None
        except (ValueError, TypeError) as error:
            raise Refused(Status.INVALID_ARGUMENT, f"bad schema: {_short(str(error))}") from None

    def check(self, payload: bytes) -> None:
        """Accept a payload or say why not.

        Raises:
            Refused: INVALID_ARGUMENT, with the path inside the object.
        """
        self.check_value(parse_json(payload))

    def check_value(self, value: Any) -> None:
        """Like `check`, for a payload that is parsed already."""
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            raise Refused(
                Status.INVALID_ARGUMENT,
                f"{self._type}: at {json_path(error.instance_path)}: {_short(error.message)}",
            ) from None
        except ValueError as error:
            raise Refused(Status.INVALID_ARGUMENT, f"{self._type}: {_short(str(error))}") from None


def json_path(path: list[str | int]) -> str:
    """A place inside an object as people write it: `$.items[3].price`."""
    return _short("$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path))


def _short(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else text[: MAX_MESSAGE_CHARACTERS - 1] + "…"
