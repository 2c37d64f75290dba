"""Between the brain's values and frames, both ways. Pure.

Times cross the wire as remaining or elapsed milliseconds (R7); here they become, or come from, this
node's own monotonic clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.ids import OBJECT_ID_BYTES, from_runs, to_runs
from trionode.node.properties import size_of
from trionode.routing import effects, events
from trionode.routing.history import read_entries
from trionode.routing.model import Shape, payloads_of
from trionode.routing.subscriptions import Wishes
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from trionode.routing.model import HeldObject
    from trionode.schema.definition import Definition

Details = dict[str, Any]

_TIMES = {"deadline": "deadline_ms", "due": "delay_ms"}
_COUNTS = frozenset({"hops", "version", "history_dropped"})
_TIMES_BACK = {wire: name for name, wire in _TIMES.items()}

ROUTING_DETAILS = frozenset({"path", "hops", "history", "history_dropped"})
"""What only nodes need to know of an object."""
NODES_DETAILS = ROUTING_DETAILS | {
    "dead",
    "failure",
    "possibly_duplicate",
    "suspect",
    "version",
    "parent",
}
"""What only nodes may say of an object."""

MS_PER_S = 1000
DURATION_MAX_MS = 1000 * 366 * 24 * 3600 * MS_PER_S
"""A thousand years. What is longer is cut: added to a clock it might no longer fit a frame."""
NOTHING = frozenset[str]()
"""All properties are told, or believed."""
COUNT_MAX = 1 << 31
"""Of hops and versions, for the same reason."""
FRAME_BYTES_MAX = 1 << 20
"""About what one of several frames holds, so that each fits the smallest message that is taken."""
FRAME_KEYS_MAX = 1000
"""Keys that one frame tells of; each takes up to about 500 bytes."""


# --- properties -------------------------------------------------------------------------------


def to_wire(details: Details, now: float, without: frozenset[str]) -> Details:
    """Rare properties as they travel."""
    told: Details = {}
    for name, value in details.items():
        if name in without:
            continue
        if name in _TIMES:
            told[_TIMES[name]] = max(0, round((value - now) * MS_PER_S))
        elif name == "history":
            told[name] = [[max(0, round((now - e[0]) * MS_PER_S)), *e[1:]] for e in value]
        else:
            told[name] = list(value) if type(value) is tuple else value
    return told


def from_wire(details: Details, now: float, without: frozenset[str]) -> Details:
    """Rare properties as they are kept."""
    heard: Details = {}
    for name, value in details.items():
        if name in without:
            continue
        if name in _TIMES_BACK:
            heard[_TIMES_BACK[name]] = now + seconds(value)
        elif name in _COUNTS:
            heard[name] = min(value, COUNT_MAX) if type(value) is int and value >= 0 else 1
        elif name == "history":
            heard[name] = read_entries(value, lambda age_ms: now - seconds(age_ms))
        else:
            heard[name] = tuple(value) if name == "path" else value
    return heard


def seconds(duration_ms: int) -> float:
    """A duration of the wire, cut where it is longer than any clock can be told."""
    return min(duration_ms, DURATION_MAX_MS) / MS_PER_S


def _column(
    objects: Sequence[HeldObject], now: float, without: frozenset[str]
) -> dict[int, Details]:
    """The rare properties of a batch by index; objects of one batch often share them."""
    column: dict[int, Details] = {}
    last: Details | None = None
    told: Details = {}
    for index, item in enumerate(objects):
        details = item.details
        if details is None:
            continue
        if details is not last:
            last, told = details, to_wire(details, now, without)
        if told:
            column[index] = told
    return column


def properties_heard(
    column: Mapping[int, Details], now: float, without: frozenset[str] = NOTHING
) -> dict[int, Details]:
    """A column of properties as they are kept, but for those that are not to be believed."""
    return {
        index: heard
        for index, details in column.items()
        if (heard := from_wire(details, now, without))
    }


def attempts_of(objects: Iterable[HeldObject]) -> list[int] | None:
    """The column of attempts of a batch; None: all are at the first."""
    attempts = [item.attempt for item in objects]
    return attempts if any(attempt != 1 for attempt in attempts) else None


# --- clients ----------------------------------------------------------------------------------


def pushed(
    frame: frames.Push, stream: int, producer: int, part: tuple[int, int], now: float
) -> events.Pushed:
    """The event of the objects [start, end) of a Push."""
    start, end = part
    details = frame.details
    if details:
        inside = {i - start: each for i, each in details.items() if start <= i < end}
        details = properties_heard(inside, now, NODES_DETAILS)
    whole = start == 0 and end == len(frame.payloads)
    return events.Pushed(
        stream,
        producer,
        frame.first + start,
        frame.type,
        Shape(frame.encoding, frame.fingerprint),
        frame.payloads if whole else frame.payloads[start:end],
        frame.acknowledged,
        details,
    )


def deliver(effect: effects.Deliver, now: float) -> Iterator[frames.Deliver]:
    """The frames of a delivery: one for each run of objects of one shape that fit a frame."""
    for objects in _cut(effect.objects):
        shape = objects[0].shape
        yield frames.Deliver(
            effect.subscription,
            effect.type,
            to_runs([item.id for item in objects]),
            payloads_of(objects),
            shape.encoding,
            shape.fingerprint,
            attempts_of(objects),
            _column(objects, now, ROUTING_DETAILS),
        )


def copies(
    subscription: int, effect: effects.Copy, count: int, now: float
) -> Iterator[frames.Copies]:
    """The frames of the first `count` objects that a watcher is shown."""
    for objects in _cut(effect.objects[:count]):
        shape, how = objects[0].shape, effect.how
        if how == "accepted" and objects[0].detail("parent") is not None:
            how = "emitted"
        yield frames.Copies(
            subscription,
            effect.type,
            to_runs([item.id for item in objects]),
            payloads_of(objects),
            shape.encoding,
            shape.fingerprint,
            attempts_of(objects),
            _column(objects, now, ROUTING_DETAILS),
            how,
        )


def _cut(objects: list[HeldObject]) -> Iterator[list[HeldObject]]:
    """Objects, in order, in batches of one shape that fit a frame; a larger one goes alone."""
    shape, start, size_bytes = objects[0].shape, 0, 0
    last: Details | None = None
    last_bytes = 0
    for index, item in enumerate(objects):
        own_bytes = len(item.payload)
        details = item.details
        if details is not None:
            if details is not last:
                last, last_bytes = details, _told_bytes(details)
            own_bytes += last_bytes
        size_bytes += own_bytes
        if (item.shape is not shape and item.shape != shape) or (
            size_bytes > FRAME_BYTES_MAX and index > start
        ):
            yield objects[start:index]
            shape, start, size_bytes = item.shape, index, own_bytes
    yield objects[start:] if start else objects


def _told_bytes(details: Details) -> int:
    """About how many bytes of a frame to a client an object's properties take."""
    return size_of({name: details[name] for name in details.keys() - ROUTING_DETAILS})


def subscribed(
    frame: frames.Subscribe, stream: int, keys: tuple[str, ...], credit: int, credit_bytes: int
) -> events.Subscribed:
    """The event of a Subscribe, held to what this node allows."""
    wishes = Wishes(
        _wish_s(frame.max_processing_ms),
        frame.max_attempts,
        _wish_s(frame.retry_base_ms),
        _wish_s(frame.retry_cap_ms),
        seconds(frame.reconnect_grace_ms),
    )
    resumed = None
    if frame.resumed_delivered is not None:
        ids: list[int] = from_runs(frame.resumed_ids)  # type: ignore[assignment]  # see settled
        attempts = frame.resumed_attempts or [1] * len(ids)
        held = list(zip(ids, attempts, strict=True))
        resumed = events.Resumed(frame.number, held, frame.resumed_delivered)
    return events.Subscribed(
        stream, frame.subscription, keys, credit, credit_bytes, wishes, resumed
    )


def _wish_s(duration_ms: int | None) -> float | None:
    return None if duration_ms is None else seconds(duration_ms)


def answered(effect: effects.AnswerSettle) -> frames.Answered:
    """The answer to a Settle."""
    refused = [
        (id_.to_bytes(OBJECT_ID_BYTES, "big"), attempt, reason)
        for id_, attempt, reason in effect.refused
    ]
    return frames.Answered(effect.number, refused=refused)


def lost(effect: effects.LoseLeases) -> frames.Lost:
    """The news that leases were taken back."""
    ids = to_runs([id_ for id_, _ in effect.leases])
    return frames.Lost(ids, [attempt for _, attempt in effect.leases], effect.reason)


# --- peers ------------------------------------------------------------------------------------


def interest(
    effect: effects.SendInterest, definitions: list[Definition]
) -> Iterator[frames.Interest]:
    """What we can process, in as many frames as it takes; a type's definition comes first."""
    groups: list[list[Definition]] = [[]]
    size_bytes = 0
    for definition in definitions:
        size_bytes += len(definition.schema.encode())
        if size_bytes > FRAME_BYTES_MAX and groups[-1]:
            groups.append([])
            size_bytes = len(definition.schema.encode())
        groups[-1].append(definition)
    *ahead, last = groups
    for group in ahead:
        yield frames.Interest(False, [], [], [], [], [], [], group)
    updates = effect.updates
    yield _interest(updates[:FRAME_KEYS_MAX], last, full=effect.full)
    for start in range(FRAME_KEYS_MAX, len(updates), FRAME_KEYS_MAX):
        yield _interest(updates[start : start + FRAME_KEYS_MAX], [], full=False)


def _interest(
    updates: list[effects.RouteUpdate], definitions: list[Definition], *, full: bool
) -> frames.Interest:
    return frames.Interest(
        full,
        [each.key for each in updates],
        [list(each.path) for each in updates],
        [each.origin for each in updates],
        [each.incarnation for each in updates],
        [each.version for each in updates],
        [each.epoch for each in updates],
        definitions,
    )


def interest_told(frame: frames.Interest, link: int) -> events.InterestTold:
    """What a peer can process."""
    columns = zip(
        frame.keys,
        map(tuple, frame.paths),
        frame.origins,
        frame.incarnations,
        frame.versions,
        frame.epochs,
        strict=True,
    )
    return events.InterestTold(
        link, frame.full, [effects.RouteUpdate(*column) for column in columns]
    )


def credit(effect: effects.SendCredit) -> frames.LinkCredit:
    """What a peer may offer."""
    keys, epochs, limits, byte_limits = (
        list(column) for column in zip(*effect.grants, strict=True)
    )
    return frames.LinkCredit(keys, epochs, limits, byte_limits)


def credit_granted(frame: frames.LinkCredit, link: int) -> events.CreditGranted:
    """What we may offer."""
    columns = zip(frame.keys, frame.epochs, frame.limits, frame.byte_limits, strict=True)
    return events.CreditGranted(link, list(columns))


def backlog(effect: effects.SendBacklog) -> frames.Backlog:
    """What we would like to offer."""
    keys, epochs, wanted = (list(column) for column in zip(*effect.wishes, strict=True))
    return frames.Backlog(keys, epochs, wanted)


def backlog_told(frame: frames.Backlog, link: int) -> events.BacklogTold:
    """What a peer would like to offer."""
    columns = zip(frame.keys, frame.epochs, frame.wanted, strict=True)
    return events.BacklogTold(link, list(columns))


def answer(effect: effects.SendAnswer) -> frames.OfferAnswer:
    """What became of a peer's offer."""
    return frames.OfferAnswer(
        effect.incarnation, effect.sequence, effect.known, list(effect.refused)
    )


def offer_answered(frame: frames.OfferAnswer, link: int) -> events.OfferAnswered:
    """What became of our offer."""
    return events.OfferAnswered(
        link, frame.incarnation, frame.sequence, frame.known, tuple(frame.refused)
    )


def close(effect: effects.SendClose) -> frames.CloseOffers:
    """Which of our offers are closed."""
    incarnations, sequences = _number_columns(effect.numbers)
    return frames.CloseOffers(incarnations, sequences)


def offers_closed(frame: frames.CloseOffers, link: int) -> events.OffersClosed:
    """Which of a peer's offers are closed."""
    return events.OffersClosed(link, list(zip(frame.incarnations, frame.sequences, strict=True)))


def ask(effect: effects.SendAsk) -> frames.AskOffers:
    """Which of our offers are open."""
    return frames.AskOffers(
        effect.incarnation, effect.next_sequence, *_number_columns(effect.numbers)
    )


def offers_asked(frame: frames.AskOffers, link: int) -> events.OffersAsked:
    """Which of a peer's offers are open."""
    numbers = list(zip(frame.incarnations, frame.sequences, strict=True))
    return events.OffersAsked(link, frame.incarnation, frame.next_sequence, numbers)


def keys_settled(effect: effects.SendKeysSettled) -> frames.KeysSettled:
    """What of ordering keys has ended here."""
    return frames.KeysSettled(to_runs(effect.ids))


def keys_reported(frame: frames.KeysSettled, link: int) -> events.KeysSettled:
    """What of ordering keys has ended at a peer."""
    return events.KeysSettled(link, from_runs(frame.ids))  # type: ignore[arg-type]  # see settled


def ask_keys(effect: effects.SendKeysAsked) -> frames.AskKeys:
    """What of ordering keys a peer was given."""
    return frames.AskKeys(to_runs(effect.ids))


def keys_asked(frame: frames.AskKeys, link: int) -> events.KeysAsked:
    """What of ordering keys a peer gave."""
    return events.KeysAsked(link, from_runs(frame.ids))  # type: ignore[arg-type]  # see settled


def _number_columns(numbers: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [incarnation for incarnation, _ in numbers], [sequence for _, sequence in numbers]


TO_PEERS: dict[type, Callable[[Any], frames.LinkCredit | frames.Backlog | Any]] = {
    effects.SendCredit: credit,
    effects.SendBacklog: backlog,
    effects.SendAnswer: answer,
    effects.SendClose: close,
    effects.SendAsk: ask,
    effects.SendKeysSettled: keys_settled,
    effects.SendKeysAsked: ask_keys,
}
"""The effects towards a peer whose frames need nothing but the effect itself."""

FROM_PEERS: dict[type, Callable[[Any, int], object]] = {
    frames.LinkCredit: credit_granted,
    frames.Backlog: backlog_told,
    frames.OfferAnswer: offer_answered,
    frames.CloseOffers: offers_closed,
    frames.AskOffers: offers_asked,
    frames.KeysSettled: keys_reported,
    frames.AskKeys: keys_asked,
}
"""The frames of a peer whose events need nothing but the frame and its link."""
