"""Codecs: how a frame becomes the bytes of one gRPC message and back, by content type.

The native codec is MessagePack: a message is `[kind, {field: value}]`, with the kinds of
`trionode.wire.kinds`, fields of default value omitted and unknown fields ignored. Object ids are
16-byte strings, because MessagePack's integers end at 64 bits. `decode` either returns a value or
raises `ProtocolError`, whatever it is fed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs
import cattrs
import msgpack  # type: ignore[import-untyped]  # msgpack ships no types

from trionode.errors import ProtocolError, Refused, Status
from trionode.wire.checks import CHECKS, MAX_OBJECTS
from trionode.wire.kinds import FIRST_OPTIONAL_KIND, KIND_OF, KINDS, Frame
from trionode.wire.structuring import make_converter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_CONTAINERS = 262_144
"""Most arrays and maps in one message. An empty one is one byte on the wire and 72 in memory, so
without a limit a message of 4 MiB would take 300 MB; honest frames need a few per object."""

MAX_ERROR_CHARACTERS = 500
"""Longest account of a refused frame: the peer sent the text that is quoted in it."""


@attrs.frozen
class UnknownFrame:
    """A frame of an optional kind that this version does not know; ignore and count it."""

    kind: int


class Codec(Protocol):
    """Turns frames to and from the bytes of one message."""

    @property
    def content_type(self) -> str:
        """The gRPC content type that asks for this codec."""

    def encode(self, frame: Frame) -> bytes:
        """The message that says `frame`."""

    def decode(self, data: bytes) -> Frame | UnknownFrame:
        """The frame that a message says.

        Raises:
            ProtocolError: with INVALID_ARGUMENT, the bytes are not a frame; with UNIMPLEMENTED, a
                frame of a kind that this version does not know and must not ignore.
        """


class MessagePackCodec:
    """`application/grpc+msgpack`: cattrs and MessagePack."""

    content_type = "application/grpc+msgpack"

    def __init__(self) -> None:
        fast = make_converter(detailed=False)
        self._detailed = make_converter(detailed=True)
        self._to_wire: dict[type, tuple[int, Callable[[Any], Any]]] = {
            frame: (kind, fast.get_unstructure_hook(frame)) for frame, kind in KIND_OF.items()
        }
        self._from_wire: dict[int, tuple[type[Frame], Callable[[Any, Any], Any]]] = {
            kind: (frame, fast.get_structure_hook(frame)) for kind, frame in KINDS.items()
        }

    def encode(self, frame: Frame) -> bytes:
        """See `Codec.encode`; lone surrogates in texts are written as escapes."""
        kind, unstructure = self._to_wire[type(frame)]
        message = (kind, unstructure(frame))
        data: bytes
        try:
            data = msgpack.packb(message)
        except UnicodeEncodeError:
            # The text of an OSError can hold a file name that is no UTF-8 (PEP 383).
            data = msgpack.packb(message, unicode_errors="backslashreplace")
        return data

    def decode(self, data: bytes) -> Frame | UnknownFrame:
        """See `Codec.decode`."""
        kind, body = _split(_unpack(data))
        known = self._from_wire.get(kind)
        if known is None:
            if kind >= FIRST_OPTIONAL_KIND:
                return UnknownFrame(kind)
            raise ProtocolError(
                f"frame kind {kind} is not known here; the peer speaks a newer protocol",
                grpc_status=Status.UNIMPLEMENTED,
            )
        frame_class, structure = known
        if type(body) is not dict:
            raise _invalid(f"{frame_class.__name__}: expected a map of fields")
        try:
            frame: Frame = structure(body, frame_class)
        except Exception as error:  # noqa: BLE001  # garbage fails in any way; all are one refusal
            raise _invalid(self._account(body, frame_class, error)) from None
        check = CHECKS.get(frame_class)
        if check is not None:
            try:
                check(frame)
            except ValueError as error:
                raise _invalid(f"{frame_class.__name__}: {error}") from None
        return frame

    def _account(self, body: Any, frame_class: type[Frame], error: Exception) -> str:
        """What is wrong with `body`, field by field: the fast pass knows only that it is."""
        try:
            self._detailed.structure(body, frame_class)
        except cattrs.BaseValidationError as group:
            return "; ".join(
                cattrs.transform_error(group, frame_class.__name__, lambda told, _: _words(told))
            )
        return f"{frame_class.__name__}: {error}"


def _words(error: BaseException) -> str:
    return f"missing field {error}" if type(error) is KeyError else str(error)


def _invalid(message: str) -> ProtocolError:
    if len(message) > MAX_ERROR_CHARACTERS:
        message = message[: MAX_ERROR_CHARACTERS - 1] + "…"
    return ProtocolError(message, grpc_status=Status.INVALID_ARGUMENT)


def _extension(code: int, data: bytes) -> Any:  # noqa: ARG001  # the hook's signature is msgpack's
    raise ValueError(f"extension type {code} has no meaning here")


def _unpack(data: bytes) -> Any:
    containers = 0

    def count(value: Any) -> Any:
        nonlocal containers
        containers += 1
        if containers > MAX_CONTAINERS:
            raise ValueError(f"more than {MAX_CONTAINERS} arrays and maps")
        return value

    try:
        return msgpack.unpackb(
            data,
            strict_map_key=False,
            max_array_len=MAX_OBJECTS,
            max_map_len=MAX_OBJECTS,
            list_hook=count,
            object_hook=count,
            ext_hook=_extension,
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise _invalid(f"not a MessagePack message: {error}") from None


def _split(message: Any) -> tuple[int, Any]:
    if type(message) is not list or len(message) != 2:
        raise _invalid("expected a message of [kind, fields]")
    kind, body = message
    if type(kind) is not int or kind < 0:
        raise _invalid("expected the kind of a frame as a small integer")
    return kind, body


MESSAGEPACK: Codec = MessagePackCodec()
"""The native codec."""

CODECS: Mapping[str, Codec] = {MESSAGEPACK.content_type: MESSAGEPACK}
"""Every codec by its content type."""


CODEC_METADATA = "trionode-codec"
"""Metadata by which a client that cannot choose its content type, such as grpcio's, names a codec:
`msgpack` asks for what `application/grpc+msgpack` does."""


def codec_for(content_type: str, named: str = "") -> Codec:
    """The codec of a gRPC content type; case and parameters (`; charset=…`) do not matter.

    Args:
        content_type: of the request.
        named: what `CODEC_METADATA` says, if anything; it wins.

    Raises:
        Refused: UNIMPLEMENTED, naming the content types that are understood.
    """
    if named:
        content_type = f"application/grpc+{named}"
    codec = CODECS.get(content_type.partition(";")[0].strip().lower())
    if codec is None:
        raise Refused(
            Status.UNIMPLEMENTED,
            f"content type {content_type[:100]!r} is not understood here",
            f"use {', '.join(CODECS)}",
        )
    return codec
