"""All that a brain refers to, as bytes: whoever looks at it twice sees whether it was touched.

For the same brain in the same process only: within that, it tells apart more than `canonical`
does, at a small part of what that costs.
"""

from __future__ import annotations

import io
import itertools
import pickle
from operator import attrgetter
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable


def snapshot(value: Any) -> bytes:
    """All that a value refers to; nothing but code is left out."""
    out = io.BytesIO()
    _Pickler(out, pickle.HIGHEST_PROTOCOL).dump(value)
    return out.getvalue()


def _made() -> None:
    """Stand for any object: nobody reads a snapshot back."""


_CODE = (FunctionType, BuiltinFunctionType, MethodType)
_FIELDS: dict[type, Callable[[Any], Any]] = {}


class _Pickler(pickle.Pickler):
    """Takes objects apart into their fields, without the detours of attrs and copyreg."""

    def reducer_override(self, value: Any) -> Any:
        """See `pickle`; the state comes last, so that what refers to itself ends."""
        kind = type(value)
        fields = _FIELDS.get(kind)
        if fields is not None:
            return _made, (), fields(value)
        if value is _made or isinstance(value, type):
            return NotImplemented
        if kind in _CODE:
            return _made, ()
        if kind is itertools.count:  # later versions of Python cannot pickle it
            return _made, (), repr(value)
        if attrs.has(kind):
            names = [field.name for field in attrs.fields(kind)]
            if names:
                _FIELDS[kind] = attrgetter(*names)
                return _made, (), _FIELDS[kind](value)
        return NotImplemented
