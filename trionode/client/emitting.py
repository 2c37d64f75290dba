"""Results that are sent with an ack: what they look like, and the consumer as their producer.

Pure but for `trionode.client.values`' cache of schemas: frames out, no clock, no I/O.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import attrs

from trionode.client.producer_core import Shape, shape_without_definition
from trionode.client.properties import properties_of, told_at
from trionode.client.types import type_name_of
from trionode.client.values import JSON, encode, is_class, payload_of, schema_of
from trionode.ids import to_runs
from trionode.schema.definition import Definition
from trionode.schema.fingerprint import fingerprint
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from trionode.client.leases import Lease
    from trionode.client.properties import PushOptions

RESULTS_MAX = 1000
"""Results of one ack: they go in one frame, since they are taken together or not at all."""


class Emit:
    """A result with options: `delivery.ack(emit=[Emit(mail, delay=60)])`.

    Args:
        value: an object of a class; or with `type` a plain JSON value or bytes.
        type: the type's name; of an object, that of its class when none is given.
        encoding: of bytes that are encoded already: `json` or `raw`.
        options: those of `Client.push`.

    Raises:
        ValueError: an option has a value that it cannot have.
    """

    __slots__ = ("encoding", "options", "type", "value")

    def __init__(
        self,
        value: Any,
        *,
        type: str | None = None,  # noqa: A002  # as in `Client.push`
        encoding: str | None = None,
        **options: Unpack[PushOptions],
    ) -> None:
        properties_of(0.0, options)
        self.value = value
        self.type = type
        self.encoding = encoding
        self.options = options

    def __repr__(self) -> str:
        return f"<Emit {self.value!r}>"


@attrs.frozen
class Result:
    """One result as it travels; `definition` is that of its class, if it is of one."""

    shape: Shape
    payload: bytes
    details: dict[str, Any] | None
    definition: Definition | None


def result_of(item: Any, now: float) -> Result:
    """A result, given as an object of a class or as an `Emit`, at a moment of the client's clock.

    Raises:
        EncodeError: it has no form in JSON.
        TypeError: nothing says its type.
    """
    asked = item if isinstance(item, Emit) else Emit(item)
    value, cls = asked.value, asked.value.__class__
    details = properties_of(now, asked.options)
    told = None if details is None else told_at(details, now)
    if asked.encoding is None and is_class(cls):
        found = _definition(cls, asked.type)
        shape = Shape(found.type, JSON, found.fingerprint)
        return Result(shape, encode(value), told, found)
    return Result(*plain(value, asked.type, asked.encoding), told, None)


def plain(value: Any, type_name: str | None, encoding: str | None) -> tuple[Shape, bytes]:
    """Shape and payload of what is no object of a class: plain JSON, or bytes.

    Raises:
        EncodeError: it has no form in JSON.
        TypeError: nothing says its type, or an encoding is given for no bytes.
    """
    if type_name is None:
        kind = value.__class__.__qualname__
        raise TypeError(f'a {kind} says no type: push it with type="..."')
    if encoding is None:
        payload, encoding = payload_of(value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        payload = bytes(value)
    else:
        kind = value.__class__.__qualname__
        raise TypeError(f"encoding is for bytes that are encoded already, not {kind}")
    return shape_without_definition(type_name, encoding), payload


@functools.cache
def _definition(cls: type, type_name: str | None) -> Definition:
    """The definition of a class as the node will know it: its fingerprint is that of the schema."""
    schema = schema_of(cls)
    return Definition(type_name or type_name_of(cls), fingerprint(schema), schema)


class Emitter:
    """The consumer as the producer of its results: it gives their sequences (R11).

    A settle is sent once, so whatever was answered, or lost with its stream, never comes again.
    """

    def __init__(self, producer: bytes) -> None:
        self.producer = producer
        self._last = 0
        self._open: dict[int, int] = {}
        """Sequences without an answer: first -> count, ascending."""

    @property
    def acknowledged(self) -> int:
        """Up to where no sequence is ever sent again."""
        return next(iter(self._open)) - 1 if self._open else self._last

    def number(self, count: int) -> int:
        """The first of so many new sequences."""
        first = self._last + 1
        self._last += count
        self._open[first] = count
        return first

    def resolve(self, first: int) -> None:
        """The sequences that began with this one are answered, or never will be."""
        del self._open[first]


class EmittingAcks:
    """The acks with results of one stream.

    Args:
        emitter: gives the results their sequences.
        results: what goes with each lease.
    """

    def __init__(self, emitter: Emitter, results: Mapping[Lease, list[Result]]) -> None:
        self._emitter = emitter
        self._results = results
        self._sent: dict[int, int] = {}
        """Those without an answer: number of the settle -> the first sequence."""
        self._defined: dict[Definition, None] = {}
        """What the node was told of the types of results."""

    def frame(self, number: int, lease: Lease) -> frames.Settle:
        """The frame that acks a lease with its results."""
        results = self._results[lease]
        acknowledged = self._emitter.acknowledged
        first = self._sent[number] = self._emitter.number(len(results))
        found = dict.fromkeys([each.definition for each in results if each.definition is not None])
        new = [each for each in found if each not in self._defined]
        self._defined.update(dict.fromkeys(new))
        return frames.Settle(
            number,
            "ack",
            to_runs([lease.id]),
            None if lease.attempt == 1 else [lease.attempt],
            emitted=emissions(results, first),
            acknowledged=acknowledged,
            definitions=new,
        )

    def answered(self, number: int) -> None:
        """The node has answered the settle of this number."""
        self._emitter.resolve(self._sent.pop(number))

    def define_again(self) -> None:
        """Tell the types of results once more."""
        self._defined.clear()

    def lose(self) -> None:
        """The stream is over: nothing of it will ever be sent again."""
        for first in self._sent.values():
            self._emitter.resolve(first)
        self._sent.clear()


def emissions(results: Sequence[Result], first: int) -> list[frames.Emission]:
    """The results of one lease with sequences from `first` on, neighbours of one shape together."""
    made: list[frames.Emission] = []
    start = 0
    for end in range(1, len(results) + 1):
        shape = results[start].shape
        if end < len(results) and results[end].shape == shape:
            continue
        group = results[start:end]
        made.append(
            frames.Emission(
                0,
                shape.type,
                first + start,
                [each.payload for each in group],
                shape.encoding,
                shape.fingerprint,
                {i: each.details for i, each in enumerate(group) if each.details is not None},
            )
        )
        start = end
    return made
