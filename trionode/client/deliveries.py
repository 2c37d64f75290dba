"""What a subscription gives: `Deliveries`, an iterator of `Delivery`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import trio

from trionode.client.consumer_stream import ACK
from trionode.client.emitting import RESULTS_MAX, Emit, result_of
from trionode.client.leases import Lease, LeaseState
from trionode.client.reasons import failure_text, shortened
from trionode.client.values import payload_of, value_of
from trionode.errors import DecodeError, Refused, Status
from trionode.ids import parse_id
from trionode.wire.frames import PRIORITY_USUAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from trionode.client.consumer_core import Subscription
    from trionode.client.consuming import Consuming
    from trionode.client.emitting import Result
    from trionode.client.properties import PushOptions
    from trionode.client.terms import Terms
    from trionode.client.watched import Watched
    from trionode.ids import ObjectId
    from trionode.logs import Logger

T = TypeVar("T")
ErrorClass: TypeAlias = type[BaseException]
Anything: TypeAlias = object

_UNREAD: Final = object()


class Delivery(Generic[T]):
    """One object that was handed to this consumer, and the lease that goes with it.

    As a context manager it gives the object, acks when the block is left in order, and nacks with
    the exception's text when not; the exception goes on as itself. When the lease is lost meanwhile
    the block is cancelled, and `LeaseLost` raised after it. Whoever settles by hand in the block
    has settled: leaving it then does nothing more.
    """

    __slots__ = ("_consuming", "_lease", "_object", "_results", "_scope")

    def __init__(self, consuming: Consuming, lease: Lease, value: T | Anything) -> None:
        self._consuming = consuming
        self._lease = lease
        self._object = value
        self._scope: trio.CancelScope | None = None
        self._results: list[Result] | None = None

    def __repr__(self) -> str:
        return f"<Delivery {self.type} {self._lease.name} {self._lease.state.value}>"

    @property
    def id(self) -> ObjectId:
        """The object's id; `trionode.format_id` gives its text form."""
        return self._lease.id

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._lease.attempt

    @property
    def type(self) -> str:
        """The name of the object's type."""
        return self._lease.type

    @property
    def encoding(self) -> str:
        """What the payload is: `json` or `raw`."""
        return self._lease.encoding

    @property
    def payload(self) -> bytes:
        """The bytes that travelled."""
        return self._lease.payload

    @property
    def watched(self) -> Watched | None:
        """Of a copy, in a subscription with `mode="watch"`: how it came; None of a delivery."""
        return None

    @property
    def details(self) -> Mapping[str, Any]:
        """Rare properties of the object, such as `deadline_ms` or `failure`."""
        return self._lease.details

    @property
    def priority(self) -> int:
        """Its priority within its type, 0 to 9."""
        found: int = self._lease.details.get("priority", PRIORITY_USUAL)
        return found

    @property
    def version(self) -> int:
        """How often it was given content: 1, and one more with each `replace`."""
        found: int = self._lease.details.get("version", 1)
        return found

    @property
    def parent(self) -> ObjectId | None:
        """The id of the object that was acknowledged with this one as a result, if any was."""
        found = self._lease.details.get("parent")
        return None if found is None else parse_id(found)

    @property
    def object(self) -> T:
        """The object: of the class subscribed to, or of a type's name plain JSON or bytes.

        Raises:
            DecodeError: of a name only: the payload is in an encoding that is not known here.
        """
        if self._object is _UNREAD:
            self._object = value_of(None, self._lease.payload, self._lease.encoding)
        return self._object  # type: ignore[return-value]  # what was read is a T

    # --- settling ---------------------------------------------------------------------------------

    def ack(self, emit: Iterable[Any] = ()) -> None:
        """The object is done.

        With results, it is done in the same step in which the node takes them, all of them or
        nothing. They are objects of classes, or an `Emit` where one has a type or options of its
        own; each is told its parent's id. What was given to `emit` goes with them.

        This and the other ways to settle queue and return at once. They raise `LeaseLost` when the
        loss of the lease is already known; what the node says later, `settled` raises.

        Raises:
            LeaseLost: the lease is gone.
            RuntimeError: the delivery has been settled before.
            Refused: the results are more than one settle can have; it is not settled.
            EncodeError: a result has no form in JSON; it is not settled.
        """
        if emit or self._results is not None:
            for item in emit:
                self._collect(item)
            if self._results is not None:
                self._consuming.core.emit(self._lease, self._results)
                return
        self._consuming.core.settle(self._lease, ACK)

    def emit(
        self,
        value: Any,
        *,
        type: str | None = None,  # noqa: A002  # see Client.push
        encoding: str | None = None,
        **options: Unpack[PushOptions],
    ) -> None:
        """Have a result taken with the ack, by hand or of the block; any other end drops it.

        Args:
            value: an object of a class; or with `type` a plain JSON value or bytes.
            type: the type's name; of an object, that of its class when none is given.
            encoding: of bytes that are encoded already: `json` or `raw`.
            options: those of `Client.push`.

        Raises:
            LeaseLost: the lease is gone.
            RuntimeError: the delivery has been settled before.
            Refused: the results are more than one settle can have.
            EncodeError: it has no form in JSON.
            ValueError: an option has a value that it cannot have.
        """
        self._collect(Emit(value, type=type, encoding=encoding, **options))

    def _collect(self, item: Any) -> None:
        lease = self._lease
        if lease.state is not LeaseState.HELD:
            raise lease.error or RuntimeError(f"{lease.name} has been settled already")
        result = result_of(item, trio.current_time())
        found = [*(self._results or ()), result]
        size_bytes = sum([len(each.payload) for each in found])
        limit_bytes = lease.window.stream.max_object_bytes
        if len(found) > RESULTS_MAX or (limit_bytes and size_bytes > limit_bytes):
            raise Refused(
                Status.INVALID_ARGUMENT,
                f"{len(found)} results of {size_bytes} bytes; one ack has at most {RESULTS_MAX} "
                f"of together {limit_bytes} bytes at this node",
                "push what need not come in one step with the ack",
            )
        self._results = found

    def nack(self, delay: float | None = None, reason: str = "") -> None:
        """Deliver it again, to anyone, after so many seconds or the node's own back-off."""
        if delay is not None and not 0 <= delay < float("inf"):
            raise ValueError(f"a delay is a number of seconds from 0 on, not {delay}")
        delay_ms = None if delay is None else round(delay * 1000)
        self._consuming.core.settle(self._lease, ("nack", delay_ms, shortened(reason), "json"))

    def reject(self, reason: str) -> None:
        """Never deliver it again: it becomes a dead letter, for a person to look at."""
        self._consuming.core.settle(self._lease, ("reject", None, shortened(reason), "json"))

    def replace(self, new: Any, *, encoding: str | None = None) -> None:
        """The object goes on with new content, under its id and type, to whoever is subscribed.

        Args:
            new: an object like those that are pushed, or bytes.
            encoding: of bytes: what they are, `json` or `raw`; without it bytes are `raw`.
        """
        content, found = (bytes(new), encoding) if encoding is not None else payload_of(new)
        self._consuming.core.replace(self._lease, content, found)

    async def settled(self) -> None:
        """Wait until the node has done what it was told.

        Raises:
            LeaseLost: too late: the lease was no longer valid, and nothing was done.
            Refused: the node does not take the new content, or the results; the delivery was
                nacked.
            ConnectionLost: the connection ended first; it may or may not have been done.
        """
        lease = self._lease
        if lease.state in (LeaseState.HELD, LeaseState.SETTLING):
            if lease.waiter is None:
                lease.waiter = trio.Event()
            await lease.waiter.wait()
        else:
            await trio.lowlevel.checkpoint()
        if lease.error is not None:
            raise lease.error

    def __enter__(self) -> T:
        if self._scope is not None:
            raise RuntimeError("this delivery is being processed already")
        lease = self._lease
        if lease.error is not None:
            raise lease.error
        value = self.object
        self._scope = lease.owner = trio.CancelScope()
        self._scope.__enter__()
        return value

    def __exit__(
        self,
        kind: ErrorClass | None,  # noqa: PYI036  # `type` is a property here
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lease, scope = self._lease, self._scope
        assert scope is not None
        self._scope = lease.owner = None
        try:
            caught = scope.__exit__(kind, error, traceback)
        except BaseException as rest:
            # A group of exceptions, less the cancellation that was ours.
            self._fail(rest)
            raise
        if error is not None and not caught:
            self._fail(error)
        elif lease.state is LeaseState.HELD:
            self.ack()
        elif lease.state is LeaseState.LOST and lease.error is not None:
            raise lease.error from None

    def _fail(self, error: BaseException) -> None:
        """The block was left by an exception."""
        if self._lease.state is not LeaseState.HELD:
            return
        failure = failure_text(error)
        if failure:
            self.nack(reason=failure)
        else:
            self._consuming.abandon(self._lease)


class Deliveries(Generic[T]):
    """A subscription: `async with` begins and ends it, `async for` gives its deliveries.

    Several tasks may iterate over it; each delivery goes to one. What becomes of deliveries that
    are unsettled when the block is left depends on how it is left: by an exception they are nacked
    with its text; by cancellation, `KeyboardInterrupt` or in order they return uncounted.
    """

    _kind: Callable[[Consuming, Any, Any], Delivery[T]] = Delivery
    """What is made of a lease."""

    def __init__(  # noqa: PLR0913  # built in one place, Client.subscribe
        self,
        consuming: Consuming,
        types: Mapping[str, type | None],
        *,
        credit: int,
        credit_bytes: int,
        terms: Terms,
        reject_undecodable: bool,
        on_lost: Callable[[ObjectId, int, str], object] | None,
        close_timeout_s: float,
        log: Logger,
    ) -> None:
        self._consuming = consuming
        self._types = types
        self._credit = credit
        self._credit_bytes = credit_bytes
        self._terms = terms
        self._undecodable = "reject" if reject_undecodable else "nack"
        self._on_lost = on_lost
        self._close_timeout_s = close_timeout_s
        self._log = log
        self._subscription: Subscription | None = None
        self._news = trio.Event()

    async def __aenter__(self) -> Self:
        if self._subscription is not None:
            raise RuntimeError("a subscription can be entered once")
        names: Sequence[str] = list(self._types)
        subscription = self._subscription = self._consuming.subscribe(
            list(names), self._credit, self._credit_bytes, self, self._terms
        )
        try:
            await self._answered(subscription, subscription.asked)
        except BaseException:
            await self._close(subscription, "")
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._subscription is not None
        await self._close(self._subscription, failure_text(error))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery[T]:
        """Wait for the next delivery, whose processing counts as started then.

        Raises:
            Refused: a node, maybe the next one, does not take the subscription.
            ConnectionLost: the client has been left, or reconnecting was given up.
        """
        subscription = self._subscription or self._entered()
        consuming, core = self._consuming, self._consuming.core
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            if subscription.abandoned:
                core.nack_abandoned(subscription)
            lease = core.take(subscription)
            if lease is not None:
                delivery = self._read(lease)
                if delivery is not None:
                    if consuming.has_to_tell(lease):
                        await consuming.tell_started(lease)
                    return delivery
            elif not subscription.wanted:
                raise StopAsyncIteration
            elif subscription.error is not None:
                raise subscription.error
            else:
                await self._wait_for_news()
                consuming.on_rest()

    async def set_credit(self, credit: int, credit_bytes: int | None = None) -> None:
        """Set the window again; 0 is a pause. Returns once the node has it.

        A lower one reaches the node before any settle that is made after this was called.

        Raises:
            ValueError: a window that cannot be.
            Refused: the node does not take it.
        """
        subscription = self._entered()
        version = self._consuming.core.set_credit(subscription, credit, credit_bytes)
        await self._answered(subscription, version)

    # --- what the driver tells --------------------------------------------------------------------

    def on_news(self) -> None:
        """See `SubscriptionOwner`."""
        self._news.set()

    def on_lost(self, lease: Lease) -> None:
        """See `SubscriptionOwner`; a mistake in the user's function must not end the stream."""
        if self._on_lost is not None:
            try:
                self._on_lost(lease.id, lease.attempt, lease.reason)
            except Exception as error:  # noqa: BLE001  # it is not ours, whatever it is
                self._log.error("on_lost failed", exc_info=error)

    # --- details ----------------------------------------------------------------------------------

    def _entered(self) -> Subscription:
        if self._subscription is None:
            raise RuntimeError("a subscription begins with `async with`")
        return self._subscription

    async def _wait_for_news(self) -> None:
        """Wait for what comes after this was called."""
        if self._news.is_set():
            self._news = trio.Event()
        await self._news.wait()

    async def _answered(self, subscription: Subscription, version: int) -> None:
        while subscription.answered < version and subscription.error is None:
            await self._wait_for_news()
        refusal = subscription.refusals.pop(version, None) or subscription.error
        if refusal is not None:
            raise refusal

    async def _close(self, subscription: Subscription, failure: str) -> None:
        """Settle what is left and have the node know it, shielded, within `close_timeout_s`."""
        self._consuming.close(subscription, failure)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._close_timeout_s):
            while not subscription.closed:
                await self._wait_for_news()
        if not subscription.closed:
            self._log.warning("the node did not answer when a subscription was left")

    @property
    def dropped(self) -> int:
        """With `mode="watch"`: how many copies were not taken fast enough and dropped, in all."""
        return 0 if self._subscription is None else self._subscription.dropped

    def _read(self, lease: Lease) -> Delivery[T] | None:
        """The delivery of a lease; one that does not fit its class is settled here."""
        cls = self._types.get(lease.type)
        if cls is None:
            return self._kind(self._consuming, lease, _UNREAD)
        try:
            value: T = value_of(cls, lease.payload, lease.encoding)
        except DecodeError as error:
            self._give_back(lease, str(error))
            self._log.warning(
                "an object does not fit its class", object=lease.name, reason=str(error)
            )
            return None
        return self._kind(self._consuming, lease, value)

    def _give_back(self, lease: Lease, reason: str) -> None:
        """Settle what does not fit its class."""
        self._consuming.core.settle(lease, (self._undecodable, None, shortened(reason), "json"))
