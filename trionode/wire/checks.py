"""What must hold inside a frame beyond the types of its fields: lengths of columns, ranges of ids.

Pure predicates over decoded frames; each raises ValueError with the words a peer should read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.ids import PRODUCER_BYTES, SEQUENCE_MASK
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Sized

    from trionode.ids import Run

MAX_OBJECTS = 1_000_000
"""Most objects that one frame may name; runs are short to write and long to unfold."""
MAX_DETAIL_DEPTH = 16
"""Deepest nesting inside the value of a detail: more is nobody's need and costs recursion."""

SEARCH_BYTES = 16
"""Of the name of a question to every node."""

ACTIONS = frozenset({"ack", "nack", "reject", "return", "replace"})
HAND_ACTIONS = frozenset({"retry", "discard"})
"""What a person may do to dead letters."""

_LEAVES = frozenset({type(None), bool, int, float, str, bytes})
_INT_MAX = 2**63 - 1

SECRET_BYTES_MAX = 64
"""Of a consumer's secret; random bytes beyond that make nothing safer."""


def count_of(runs: Sequence[Run]) -> int:
    """How many objects the runs name together.

    Raises:
        ValueError: more than `MAX_OBJECTS`.
    """
    total = sum([count for _, count in runs])
    if total > MAX_OBJECTS:
        raise ValueError(f"runs name {total} objects; at most {MAX_OBJECTS} go in one frame")
    return total


def check_sequences(runs: Sequence[Run]) -> None:
    """Runs of sequences of one producer: from 1, inside 48 bits, bounded in all."""
    count_of(runs)
    for first, count in runs:
        if count < 1 or first < 1 or first + count - 1 > SEQUENCE_MASK:
            raise ValueError(f"({first}, {count}) is not a run of sequences from 1 to 2^48 - 1")


def _same_length(**columns: Sized | None) -> None:
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"columns differ in length: {told}")


def _objects(count: int, payloads: Sized | None, attempts: Sized | None = None) -> None:
    if payloads is not None and len(payloads) != count:
        raise ValueError(f"{count} ids but {len(payloads)} payloads")
    if attempts is not None and len(attempts) != count:
        raise ValueError(f"{count} ids but {len(attempts)} attempts")


def _unsigned(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _INT_MAX


def _integer(value: Any) -> bool:
    return type(value) is int and -_INT_MAX <= value <= _INT_MAX


def _text(value: Any) -> bool:
    return type(value) is str


def _flag(value: Any) -> bool:
    return type(value) is bool


def _texts(value: Any) -> bool:
    return type(value) is list and set(map(type, value)) <= {str}


def _list(value: Any) -> bool:
    return type(value) is list


def _never(value: Any) -> bool:  # noqa: ARG001  # one signature for all checkers of the table
    return False


_DETAILS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "deadline_ms": (_unsigned, "a number of milliseconds"),
    "delay_ms": (_unsigned, "a number of milliseconds"),
    "keep_expired": (_flag, "a boolean"),
    "priority": (_integer, "an integer"),
    "key": (_text, "a text"),
    "ordering_key": (_text, "a text"),
    "parent": (_text, "a text"),
    "path": (_texts, "a list of node ids"),
    "hops": (_unsigned, "a count"),
    "history": (_list, "a list"),
    "dead": (_text, "a text"),
    "possibly_duplicate": (_flag, "a boolean"),
    "failure": (_text, "a text"),
    # A node's own clock readings: on the wire only remaining times mean anything.
    "deadline": (_never, "absent: only deadline_ms travels"),
    "due": (_never, "absent: only delay_ms travels"),
    # A node's own note for its restart.
    "behind": (_never, "absent: it means something in a node's store only"),
}


def _plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _LEAVES:
        return True
    if depth == 0:
        return False
    if kind is list:
        return all(_plain(item, depth - 1) for item in value)
    if kind is dict:
        return all(type(key) is str and _plain(item, depth - 1) for key, item in value.items())
    return False


def check_details(details: Mapping[int, Any]) -> None:
    """The sparse column of rare properties: plain values, known ones of their type."""
    for index, properties in details.items():
        if not _unsigned(index) or type(properties) is not dict:
            raise ValueError("details must map indexes in the batch to maps of properties")
        for name, value in properties.items():
            if type(name) is not str:
                raise ValueError("the name of a detail must be a text")
            known = _DETAILS.get(name)
            if known is not None and not known[0](value):
                raise ValueError(f"detail {name!r} must be {known[1]}")
            if not _plain(value, MAX_DETAIL_DEPTH):
                raise ValueError(
                    f"detail {name!r} must be plain values nested at most {MAX_DETAIL_DEPTH} deep"
                )


def _details_within(details: Mapping[int, Any], count: int) -> None:
    if details and max(details) >= count:
        raise ValueError(f"details of object {max(details)} in a batch of {count}")


def _shared_within(frame: frames.Offer, count: int) -> None:
    end = 0
    for first, length, _ in frame.shared:
        if first < end or length < 1 or first + length > count:
            raise ValueError(f"shared details of {length} objects at {first} in a batch of {count}")
        end = first + length
        if not frame.details.keys().isdisjoint(range(first, end)):
            raise ValueError(f"an object from {first} to {end - 1} has details twice")


def _client_hello(frame: frames.ClientHello) -> None:
    if len(frame.producer) not in (0, PRODUCER_BYTES):
        raise ValueError(f"producer must be {PRODUCER_BYTES} bytes")
    if len(frame.secret) > SECRET_BYTES_MAX:
        raise ValueError(f"secret must be at most {SECRET_BYTES_MAX} bytes")


def _push(frame: frames.Push) -> None:
    count = len(frame.payloads)
    if frame.first < 1 or frame.first + count - 1 > SEQUENCE_MASK:
        raise ValueError("sequences of a push must lie between 1 and 2^48 - 1")
    _details_within(frame.details, count)


def _subscribe(frame: frames.Subscribe) -> None:
    if frame.max_attempts is not None and frame.max_attempts < 1:
        raise ValueError("max_attempts must be at least 1")
    _objects(count_of(frame.resumed_ids), None, frame.resumed_attempts)


def _pushed(frame: frames.Pushed) -> None:
    check_sequences(frame.sequences)


def _push_refused(frame: frames.PushRefused) -> None:
    check_sequences([(frame.first, frame.count)])


def _deliver(frame: frames.Deliver | frames.Copies) -> None:
    count = count_of(frame.ids)
    _objects(count, frame.payloads, frame.attempts)
    _details_within(frame.details, count)


def _settle(frame: frames.Settle) -> None:
    if frame.action not in ACTIONS:
        raise ValueError(f"action {frame.action!r} is none of {', '.join(sorted(ACTIONS))}")
    replaces = frame.action == "replace"
    count = count_of(frame.ids)
    _objects(count, frame.payloads if replaces else None, frame.attempts)
    if frame.emitted:
        _emitted(frame, count)


def _emitted(frame: frames.Settle, parents: int) -> None:
    if frame.action != "ack":
        raise ValueError(f"a settle by {frame.action} emits nothing")
    # What the emitter says is known already could not be told from a repeat, and would be lost.
    end, total = frame.acknowledged + 1, 0
    for each in frame.emitted:
        count = len(each.payloads)
        total += count
        if each.parent >= parents:
            raise ValueError(f"results of lease {each.parent} in a settle of {parents}")
        if not end <= each.first <= SEQUENCE_MASK - count + 1:
            raise ValueError(
                f"sequences of results must ascend from {frame.acknowledged + 1} to 2^48 - 1"
            )
        end = each.first + count
        _details_within(each.details, count)
    if total > MAX_OBJECTS:
        raise ValueError(f"a settle with {total} results; at most {MAX_OBJECTS} go in one frame")


def _lost(frame: frames.Lost) -> None:
    _objects(count_of(frame.ids), None, frame.attempts)


def _interest(frame: frames.Interest) -> None:
    _same_length(
        keys=frame.keys,
        paths=frame.paths,
        origins=frame.origins,
        incarnations=frame.incarnations,
        versions=frame.versions,
        epochs=frame.epochs,
    )


def _link_credit(frame: frames.LinkCredit) -> None:
    _same_length(
        keys=frame.keys, epochs=frame.epochs, limits=frame.limits, byte_limits=frame.byte_limits
    )


def _backlog(frame: frames.Backlog) -> None:
    _same_length(keys=frame.keys, epochs=frame.epochs, wanted=frame.wanted)


def _offer(frame: frames.Offer) -> None:
    count = count_of(frame.ids)
    _objects(count, frame.payloads, frame.attempts)
    if len(frame.ages_ms) != count:
        raise ValueError(f"{count} ids but {len(frame.ages_ms)} ages")
    _details_within(frame.details, count)
    _shared_within(frame, count)
    end = -1
    for first, length in sorted(frame.ids):
        if first < end:
            raise ValueError("an offer names an object twice")
        end = first + length


def _open_offers(frame: frames.CloseOffers | frames.AskOffers) -> None:
    _same_length(incarnations=frame.incarnations, sequences=frame.sequences)


def _keys(frame: frames.KeysSettled | frames.AskKeys) -> None:
    count_of(frame.ids)


def _peers(frame: frames.Peers) -> None:
    _same_length(nodes=frame.nodes, names=frame.names, addresses=frame.addresses)


def _search(frame: frames.Question | frames.RepliesEnd) -> None:
    if len(frame.search) != SEARCH_BYTES:
        raise ValueError(f"search must be {SEARCH_BYTES} bytes")


def _reply(frame: frames.Reply) -> None:
    if len(frame.search) != SEARCH_BYTES:
        raise ValueError(f"search must be {SEARCH_BYTES} bytes")
    _same_length(
        known_nodes=frame.known_nodes,
        known_names=frame.known_names,
        known_addresses=frame.known_addresses,
    )


def _dead_letters(frame: frames.DeadLettersRequest) -> None:
    if frame.action not in HAND_ACTIONS:
        raise ValueError(f"action {frame.action!r} is none of {', '.join(sorted(HAND_ACTIONS))}")


def _dead_letters_reply(frame: frames.DeadLettersReply) -> None:
    _same_length(refused=frame.refused, reasons=frame.reasons)


CHECKS: Mapping[type, Callable[[Any], None]] = {
    frames.ClientHello: _client_hello,
    frames.Push: _push,
    frames.Pushed: _pushed,
    frames.PushRefused: _push_refused,
    frames.Deliver: _deliver,
    frames.Copies: _deliver,
    frames.Settle: _settle,
    frames.Subscribe: _subscribe,
    frames.Lost: _lost,
    frames.Interest: _interest,
    frames.LinkCredit: _link_credit,
    frames.Backlog: _backlog,
    frames.Offer: _offer,
    frames.CloseOffers: _open_offers,
    frames.AskOffers: _open_offers,
    frames.KeysSettled: _keys,
    frames.AskKeys: _keys,
    frames.Peers: _peers,
    frames.Question: _search,
    frames.Reply: _reply,
    frames.RepliesEnd: _search,
    frames.DeadLettersRequest: _dead_letters,
    frames.DeadLettersReply: _dead_letters_reply,
}
"""The check of each frame that has one; `trionode.wire.codec` runs it on what it decoded."""
