"""Lists, sets, tuples, maps and records of the value model, as hooks for cattrs.

Structuring asks for a JSON array or object first, then hands each item to its hook; when the
converter validates in detail, every item's error is collected with its place.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from typing import TYPE_CHECKING, Any, get_args, get_origin

import cattrs
from cattrs import IterableValidationError, IterableValidationNote

from trionode.client.leaves import LEAVES, enum_leaf, is_enum, is_literal, unexpected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Structure = Callable[[Any, Any], Any]
    Unstructure = Callable[[Any], Any]
    Item = tuple[Any, Any, Structure, Any]  # place, value, hook, type

_ARRAYS: dict[Any, tuple[type, ...]] = {
    list: (list,),
    collections.abc.Sequence: (list, tuple),
    collections.abc.MutableSequence: (list,),
    collections.abc.Collection: (list, tuple),
    set: (set,),
    frozenset: (frozenset,),
    collections.abc.Set: (frozenset, set),
    collections.abc.MutableSet: (set,),
}
"""Array-like types: the classes whose values may be written, the first being what is read."""

_MAPS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def structure_hook(converter: cattrs.Converter, kind: Any) -> Structure:
    """The hook for a type, or a late one where the type is part of itself.

    Enumerations are served here: cattrs would take one that is also an int for an int.
    """
    if is_enum(kind):
        return enum_leaf(kind).from_json
    try:
        return converter.get_structure_hook(kind)
    except RecursionError:
        return converter.structure


def unstructure_hook(converter: cattrs.Converter, kind: Any) -> Unstructure:
    """The hook for a type, or a late one where the type is part of itself; see `structure_hook`."""
    if is_enum(kind):
        return enum_leaf(kind).to_json
    try:
        return converter.get_unstructure_hook(kind)
    except RecursionError:
        return lambda value: converter.unstructure(value, unstructure_as=kind)


def is_array(kind: Any) -> bool:
    """`list[T]`, `set[T]`, `Sequence[T]` and their like."""
    return (get_origin(kind) or kind) in _ARRAYS


def written_classes(kind: Any) -> tuple[type, ...]:
    """The classes whose values may be written as an array-like type."""
    return _ARRAYS[get_origin(kind) or kind]


def is_tuple(kind: Any) -> bool:
    """`tuple[...]`."""
    return (get_origin(kind) or kind) is tuple


def is_map(kind: Any) -> bool:
    """`dict[K, V]` and `Mapping[K, V]`."""
    return (get_origin(kind) or kind) in _MAPS


def is_named_tuple(kind: Any) -> bool:
    """A class made by `typing.NamedTuple`."""
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def collect(items: Iterable[Item], container: Any) -> list[Any]:
    """Structure items one by one and raise all their errors together, each with its place."""
    results: list[Any] = []
    errors: list[Exception] = []
    for place, value, hook, kind in items:
        try:
            results.append(hook(value, kind))
        except Exception as error:  # noqa: BLE001  # whatever fails belongs in the account
            error.add_note(IterableValidationNote(f"at {place!r}", place, kind))
            errors.append(error)
    if errors:
        raise IterableValidationError("While structuring a container", errors, container)
    return results


def array_structure(kind: Any, converter: cattrs.Converter) -> Structure:
    """The hook that reads an array into a list, set or frozenset."""
    made = written_classes(kind)[0]
    (item,) = get_args(kind) or (Any,)
    hook = structure_hook(converter, item)
    detailed = converter.detailed_validation

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise unexpected("an array", value)
        if detailed:
            items = collect(((i, one, hook, item) for i, one in enumerate(value)), kind)
        else:
            items = [hook(one, item) for one in value]
        if made is list:
            return items
        result = made(items)
        if len(result) != len(items):
            raise ValueError("expected an array without repetitions")
        return result

    return structure


def array_unstructure(kind: Any, converter: cattrs.Converter) -> Unstructure:
    """The hook that writes an array."""
    allowed = written_classes(kind)
    (item,) = get_args(kind) or (Any,)
    hook = unstructure_hook(converter, item)
    words = " or ".join(f"a {one.__name__}" for one in allowed)

    def unstructure(value: Any) -> list[Any]:
        if type(value) not in allowed:
            raise unexpected(words, value)
        return [hook(one) for one in value]

    return unstructure


def tuple_structure(kind: Any, converter: cattrs.Converter) -> Structure:
    """The hook that reads an array into a tuple, of one type or of one type per place."""
    args = get_args(kind) or (Any, ...)
    if len(args) == 2 and args[1] is ...:
        array = array_structure(types.GenericAlias(list, args[:1]), converter)
        return lambda value, _: tuple(array(value, None))
    return _places_structure(args, len(args), converter, tuple)


def tuple_unstructure(kind: Any, converter: cattrs.Converter) -> Unstructure:
    """The hook that writes a tuple."""
    args = get_args(kind) or (Any, ...)
    if len(args) == 2 and args[1] is ...:
        hook = unstructure_hook(converter, args[0])

        def unstructure(value: Any) -> list[Any]:
            if type(value) is not tuple:
                raise unexpected("a tuple", value)
            return [hook(one) for one in value]

        return unstructure
    return _places_unstructure(args, converter, tuple)


def named_tuple_structure(kind: Any, converter: cattrs.Converter) -> Structure:
    """The hook that reads an array into a NamedTuple; places with defaults may be missing."""
    hints = typing.get_type_hints(kind, include_extras=True)
    args = tuple(hints[name] for name in kind._fields)
    least = len(args) - len(kind._field_defaults)
    return _places_structure(args, least, converter, lambda items: kind(*items))


def named_tuple_unstructure(kind: Any, converter: cattrs.Converter) -> Unstructure:
    """The hook that writes a NamedTuple as an array."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return _places_unstructure(tuple(hints[name] for name in kind._fields), converter, kind)


def _places_structure(
    args: tuple[Any, ...],
    least: int,
    converter: cattrs.Converter,
    make: Callable[[list[Any]], Any],
) -> Structure:
    hooks = [structure_hook(converter, arg) for arg in args]
    most = len(args)

    def structure(value: Any, kind: Any) -> Any:
        if type(value) is not list:
            raise unexpected("an array", value)
        if not least <= len(value) <= most:
            raise ValueError(f"expected an array of {most} items, got {len(value)}")
        places = zip(range(most), value, hooks, args, strict=False)
        return make(collect(places, kind))

    return structure


def _places_unstructure(
    args: tuple[Any, ...], converter: cattrs.Converter, allowed: type[tuple[Any, ...]]
) -> Unstructure:
    hooks = [unstructure_hook(converter, arg) for arg in args]

    def unstructure(value: Any) -> list[Any]:
        if not isinstance(value, allowed) or len(value) != len(hooks):
            raise unexpected(f"a {allowed.__name__} of {len(hooks)}", value)
        return [hook(one) for hook, one in zip(hooks, value, strict=True)]

    return unstructure


def map_structure(kind: Any, converter: cattrs.Converter) -> Structure:
    """The hook that reads a JSON object into a dict."""
    key_type, item = get_args(kind) or (str, Any)
    _check_key_type(key_type)
    key_hook, hook = structure_hook(converter, key_type), structure_hook(converter, item)
    plain_keys = key_type is str

    def structure(value: Any, _: Any) -> dict[Any, Any]:
        if type(value) is not dict:
            raise unexpected("an object", value)
        if converter.detailed_validation:
            items = collect(((key, one, hook, item) for key, one in value.items()), kind)
        else:
            items = [hook(one, item) for one in value.values()]
        if plain_keys:
            return dict(zip(value, items, strict=True))
        keys = collect(((key, key, key_hook, key_type) for key in value), kind)
        result = dict(zip(keys, items, strict=True))
        if len(result) != len(items):
            raise ValueError("expected an object whose keys are different values")
        return result

    return structure


def map_unstructure(kind: Any, converter: cattrs.Converter) -> Unstructure:
    """The hook that writes a dict as a JSON object."""
    key_type, item = get_args(kind) or (str, Any)
    _check_key_type(key_type)
    key_hook, hook = unstructure_hook(converter, key_type), unstructure_hook(converter, item)

    def unstructure(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise unexpected("a dict", value)
        return {key_hook(key): hook(one) for key, one in value.items()}

    return unstructure


def _check_key_type(key_type: Any) -> None:
    """Keys of JSON objects are texts, so only types that are written as texts can be keys."""
    kind = getattr(key_type, "__supertype__", key_type)
    texts = (
        (kind in LEAVES and kind not in (bool, int, float, type(None)))
        or (is_enum(kind) and all(type(member.value) is str for member in kind))
        or (is_literal(kind) and all(type(value) is str for value in get_args(kind)))
    )
    if not texts:
        raise TypeError(f"keys of {key_type} are not written as texts, which JSON's keys are")
