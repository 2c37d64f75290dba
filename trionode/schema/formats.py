"""Formats of texts that JSON Schema leaves to its users, as the value model and validation share.

Both names are OpenAPI's (https://spec.openapis.org/registry/format/).
"""

from __future__ import annotations

import binascii
import re

_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def is_decimal(text: str) -> bool:
    """`format: decimal`: a decimal number without limits to its digits."""
    return _DECIMAL.fullmatch(text) is not None


def is_base64(text: str) -> bool:
    """`format: byte`: bytes in base64 with padding (RFC 4648 section 4)."""
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return False
    return True
