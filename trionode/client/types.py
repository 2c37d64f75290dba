"""Which type a class stands for: its name, or the one given with `@trionode.object_type`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from trionode.errors import Refused
from trionode.schema.definition import check_type_name

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_ATTRIBUTE = "__trionode_type__"

_owners: dict[str, tuple[str, str]] = {}
"""Type's name -> (module, qualified name) of the class that stands for it in this process.

Names, not classes: `@attrs.frozen` with slots makes a class anew, a reload does too, and both are
still the same one.
"""


def object_type(name: str) -> Callable[[type[T]], type[T]]:
    """Say which type a class stands for; without it, that is the class's own name.

    Works above and below `@attrs.frozen` or `@dataclass`. Subclasses do not inherit it.

    Raises:
        ValueError: the name cannot name a type, or another class of this process has it.
    """
    _checked(name)

    def name_class(cls: type[T]) -> type[T]:
        if not isinstance(cls, type):
            raise TypeError(f"object_type names a class, not {cls!r}")
        _claim(name, cls)
        setattr(cls, _ATTRIBUTE, name)
        return cls

    return name_class


def type_name_of(cls: type) -> str:
    """The name of the type that a class stands for.

    Raises:
        ValueError: the class's name cannot name a type, or another class of this process has it.
    """
    given = cls.__dict__.get(_ATTRIBUTE)
    name: str = cls.__name__ if given is None else given
    if _owners.get(name) != (cls.__module__, cls.__qualname__):
        _claim(_checked(name), cls)
    return name


def _checked(name: str) -> str:
    try:
        return check_type_name(name)
    except Refused as error:
        raise ValueError(f"{error.message}: {error.hint}") from None


def _claim(name: str, cls: type) -> None:
    owner = (cls.__module__, cls.__qualname__)
    before = _owners.setdefault(name, owner)
    if before != owner:
        raise ValueError(
            f"two classes stand for the type {name}: {'.'.join(before)} and {'.'.join(owner)}; "
            'give one another name with @trionode.object_type("...")'
        )
