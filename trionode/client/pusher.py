"""Pushing in bulk: a window of pushes on their way, and receipts for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from trionode.client.producer_core import PUSHED, QUEUED, SENT, PendingPush, Shape
from trionode.client.properties import properties_of
from trionode.errors import ConnectionLost, Error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from trionode.client.producing import Producing
    from trionode.client.properties import PushOptions
    from trionode.ids import ObjectId

WINDOW = 4096
"""Pushes of one pusher that may be without an outcome."""
WINDOW_BYTES = 16 * 1024 * 1024
"""Bytes of their payloads; one object that is larger goes alone."""
FAILURES_MAX = 1000
"""Failures that a pusher collects before it raises them without waiting for the end."""
BREATH_S: Final = 0.001
"""A loop that only sends lets other tasks run at least this often."""


class PushFailed(Error):  # noqa: N818  # like its siblings in trionode.errors
    """Nodes refused objects of a `Pusher`.

    Attributes:
        failures: each object with its error.
    """

    def __init__(self, failures: Sequence[tuple[Any, Error]]) -> None:
        super().__init__(failures)
        self.failures = list(failures)

    def __str__(self) -> str:
        count = len(self.failures)
        what = "1 push failed" if count == 1 else f"{count} pushes failed, the first"
        return f"{what}: {self.failures[0][1]}"


class Receipt:
    """One push of a `Pusher`, whose outcome comes later.

    Attributes:
        object: what was pushed.
    """

    __slots__ = ("_event", "_push", "_pusher", "_told", "object")

    def __init__(
        self,
        pusher: Pusher,
        value: Any,
        shape: Shape,
        payload: bytes,
        details: Mapping[str, Any] | None,
    ) -> None:
        self.object = value
        self._pusher = pusher
        self._push = PendingPush(shape, payload, self, details)
        self._event: trio.Event | None = None
        self._told = False

    async def wait(self) -> ObjectId:
        """Wait until the node has custody; the object's id.

        A failure that this raises is not raised again when the pusher's block is left.

        Raises:
            Refused: the node did not take it.
            ConnectionLost: the client was left first, or the pusher by cancellation.
        """
        push = self._push
        if push.state in (QUEUED, SENT):
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        if push.state is PUSHED:
            return self._pusher.id_of(push)
        if push.error is None:
            raise ConnectionLost("the pusher was left; whether the object was pushed is not known")
        if not self._told:
            self._told = True
            self._pusher.on_told(self)
        raise push.error

    @property
    def error(self) -> Error | None:
        """Why the push failed, once it is known to have."""
        return self._push.error

    @property
    def push(self) -> PendingPush:
        """The push as the producer core knows it."""
        return self._push

    def on_outcome(self, push: PendingPush) -> None:
        """See `PushOwner`."""
        if self._event is not None:
            self._event.set()
        self._pusher.on_outcome(self, push)

    def on_withdrawn(self) -> None:
        """The pusher was left without waiting."""
        if self._event is not None:
            self._event.set()


class Pusher:
    """Pushes many objects without waiting for each; made by `Client.pusher`.

    Leaving the block waits for all of them, and raises `PushFailed` with the objects that nodes
    refused. When the block is left by an exception, that goes on as itself after what is on its way
    had a moment to arrive; by cancellation nothing is waited for, and outcomes are unknown.
    """

    def __init__(  # noqa: PLR0913  # built in one place, Client.pusher
        self,
        producing: Producing,
        prepare: Callable[[Any, str | None, str | None], tuple[Shape, bytes] | None],
        define: Callable[[type, str | None], Awaitable[object]],
        *,
        cls: type | None,
        type_name: str | None,
        window: int,
        close_timeout_s: float,
    ) -> None:
        if window < 1:
            raise ValueError(f"a window holds at least 1 push, not {window}")
        self._producing = producing
        self._prepare = prepare
        self._define = define
        self._cls = cls
        self._type_name = type_name
        self._window = window
        self._close_timeout_s = close_timeout_s
        self._open: dict[Receipt, None] = {}
        self._open_bytes = 0
        self._failed: dict[Receipt, None] = {}
        self._room = trio.Event()
        # Of the clock itself, since trio.current_time first looks for it each time.
        self._now = trio.lowlevel.current_clock().current_time
        self._breathe_at = 0.0
        self._entered = False

    async def __aenter__(self) -> Self:
        if self._cls is not None:
            await self._define(self._cls, self._type_name)
        self._entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered = False
        if isinstance(error, Exception):
            with trio.move_on_after(self._close_timeout_s):
                await self._wait_for_all()
            self._withdraw()
            if self._failed:
                error.add_note(str(self._failure()))
        elif error is None:
            try:
                await self._wait_for_all()
            finally:
                self._withdraw()
            if self._failed:
                raise self._failure()
        else:
            self._withdraw()

    async def send(
        self, value: Any, *, encoding: str | None = None, **options: Unpack[PushOptions]
    ) -> Receipt:
        """Push an object; returns at once unless the window is full.

        Args:
            value: an object, or bytes.
            encoding: of bytes that are encoded already: `json` or `raw`; they travel verbatim.
                Without it bytes are `raw`.
            options: those of `Client.push`.

        Raises:
            PushFailed: so many pushes have failed that something must be wrong.
            ConnectionLost: the client has been left.
            EncodeError: the object has no form in JSON.
            ValueError: an option has a value that it cannot have.
        """
        if not self._entered:
            raise RuntimeError("a pusher is used inside its `async with`")
        details = properties_of(trio.current_time(), options) if options else None
        prepared = self._prepare(value, self._type_name, encoding)
        if prepared is None:
            await self._define(type(value), self._type_name)
            prepared = self._prepare(value, self._type_name, encoding)
            assert prepared is not None
        shape, payload = prepared
        size_bytes = len(payload)
        while len(self._open) >= self._window or (
            self._open_bytes + size_bytes > WINDOW_BYTES and self._open
        ):
            await self._wait_for_room()
        if len(self._failed) >= FAILURES_MAX:
            raise self._failure()
        if self._now() < self._breathe_at:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await self._breathe()
        receipt = Receipt(self, value, shape, payload, details)
        self._producing.push(receipt.push)
        self._open[receipt] = None
        self._open_bytes += size_bytes
        return receipt

    # --- what receipts tell -----------------------------------------------------------------------

    def id_of(self, push: PendingPush) -> ObjectId:
        """The id of a pushed object."""
        return self._producing.id_of(push)

    def on_outcome(self, receipt: Receipt, push: PendingPush) -> None:
        """A push was accepted or failed."""
        if receipt in self._open:
            del self._open[receipt]
            self._open_bytes -= push.size_bytes
            if push.error is not None:
                self._failed[receipt] = None
            self._room.set()

    def on_told(self, receipt: Receipt) -> None:
        """Somebody has been told of the failure."""
        self._failed.pop(receipt, None)

    # --- details ----------------------------------------------------------------------------------

    async def _breathe(self) -> None:
        """Let the other tasks run."""
        await trio.lowlevel.checkpoint()
        # From now, however long the others took: or each turn would be that of one object.
        self._breathe_at = self._now() + BREATH_S

    async def _wait_for_room(self) -> None:
        if self._room.is_set():
            self._room = trio.Event()
        await self._room.wait()

    async def _wait_for_all(self) -> None:
        while self._open:
            await self._wait_for_room()

    def _withdraw(self) -> None:
        for receipt in self._open:
            self._producing.withdraw(receipt.push)
            receipt.on_withdrawn()
        self._open.clear()

    def _failure(self) -> PushFailed:
        pairs = [(each.object, each.error) for each in self._failed if each.error is not None]
        self._failed.clear()
        return PushFailed(pairs)
