"""Hypothesis strategies that several test folders share: ids, frames and values of JSON."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from hypothesis import strategies as st

from trionode.errors import Status
from trionode.ids import PRODUCER_BITS, SEQUENCE_MASK, object_id
from trionode.schema.definition import Definition
from trionode.wire import frames

INT_MAX = 2**63 - 1

counts = st.integers(0, INT_MAX)
sequences = st.integers(1, SEQUENCE_MASK)
producers = st.integers(0, 2**PRODUCER_BITS - 1)
texts = st.text(max_size=12)
names = st.from_regex(r"[A-Za-z0-9_-]{1,8}(\.[A-Za-z0-9_-]{1,8}){0,2}", fullmatch=True)
payloads = st.binary(max_size=16)
searches = st.binary(min_size=16, max_size=16)
encodings = st.sampled_from(["json", "raw"])
fingerprints = st.text("0123456789abcdef", max_size=24)
addresses = st.lists(texts, max_size=3)
definitions = st.lists(st.builds(Definition, names, fingerprints, texts), max_size=2)
statuses = st.sampled_from(Status)

object_ids = st.builds(object_id, producers, sequences)
"""Ids of objects, of many producers."""


@st.composite
def _run(draw: st.DrawFn) -> tuple[int, int]:
    first = draw(sequences)
    count = draw(st.integers(1, min(5, SEQUENCE_MASK - first + 1)))
    return object_id(draw(producers), first), count


def _apart(runs: list[tuple[int, int]]) -> bool:
    ordered = sorted(runs)
    return all(
        first + count <= following for (first, count), (following, _) in itertools.pairwise(ordered)
    )


runs = st.lists(_run(), max_size=4)
"""Runs of ids as a frame holds them; they may overlap."""

runs_apart = runs.filter(_apart)
"""Runs that name every object once."""

plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner)
    ),
    max_leaves=8,
)
"""Everything that plain JSON can say here."""

aware_datetimes = st.datetimes(
    timezones=st.integers(-23 * 60, 23 * 60).map(
        lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
    )
)
"""Datetimes that name an instant, in zones of whole minutes."""


def _properties() -> st.SearchStrategy[dict[str, Any]]:
    known = {
        "deadline_ms": counts,
        "delay_ms": counts,
        "priority": st.integers(-10, 10),
        "path": addresses,
        "hops": st.integers(0, 64),
        "history": st.lists(
            st.tuples(st.integers(0, 2**40), texts, texts, texts, st.integers(1, 9), texts).map(
                list
            ),
            max_size=2,
        ),
        "dead": texts,
        "possibly_duplicate": st.booleans(),
        "failure": texts,
        "parent": texts,
        "key": texts,
        "ordering_key": texts,
        "keep_expired": st.booleans(),
        "of the future": st.lists(texts | counts | st.binary(max_size=3), max_size=2),
    }
    return st.fixed_dictionaries({}, optional=known)


def details(count: int) -> st.SearchStrategy[dict[int, dict[str, Any]]]:
    """The sparse column of a batch of `count` objects."""
    if count == 0:
        return st.just({})
    return st.dictionaries(st.integers(0, count - 1), _properties(), max_size=3)


def column(count: int, items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A list of exactly `count` items."""
    return st.lists(items, min_size=count, max_size=count)


def _attempts(count: int) -> st.SearchStrategy[list[int] | None]:
    return st.none() | column(count, st.integers(0, 100))


@st.composite
def pushes(draw: st.DrawFn) -> frames.Push:
    """Push frames."""
    batch = draw(st.lists(payloads, min_size=1, max_size=5))
    return frames.Push(
        type=draw(names),
        first=draw(st.integers(1, SEQUENCE_MASK - len(batch))),
        payloads=batch,
        encoding=draw(encodings),
        fingerprint=draw(fingerprints),
        details=draw(details(len(batch))),
        acknowledged=draw(counts),
    )


@st.composite
def deliveries(draw: st.DrawFn, kind: type = frames.Deliver, **more: object) -> frames.Deliver:
    """Deliver frames, and others like them."""
    ids = draw(runs)
    count = sum(length for _, length in ids)
    return kind(
        **{name: draw(values) for name, values in more.items()},
        subscription=draw(counts),
        type=draw(names),
        ids=ids,
        payloads=draw(column(count, payloads)),
        encoding=draw(encodings),
        fingerprint=draw(fingerprints),
        attempts=draw(_attempts(count)),
        details=draw(details(count)),
    )


@st.composite
def settles(draw: st.DrawFn) -> frames.Settle:
    """Settle frames, of every action."""
    ids = draw(runs)
    count = sum(length for _, length in ids)
    action = draw(st.sampled_from(["ack", "nack", "reject", "return", "replace"]))
    emitted = draw(emissions(count)) if action == "ack" and count else []
    return frames.Settle(
        number=draw(counts),
        action=action,
        ids=ids,
        attempts=draw(_attempts(count)),
        delay_ms=draw(st.none() | counts) if action == "nack" else None,
        reason=draw(texts),
        payloads=draw(column(count, payloads)) if action == "replace" else [],
        encoding=draw(encodings),
        fingerprint=draw(fingerprints),
        emitted=emitted,
        acknowledged=draw(st.integers(0, emitted[0].first - 1) if emitted else counts),
        definitions=draw(definitions),
    )


@st.composite
def emissions(draw: st.DrawFn, parents: int) -> list[frames.Emission]:
    """Results of the leases of one settle, in ascending sequences."""
    made, first = [], draw(st.integers(1, 1 << 40))
    for _ in range(draw(st.integers(0, 3))):
        batch = draw(st.lists(payloads, max_size=3))
        made.append(
            frames.Emission(
                draw(st.integers(0, parents - 1)),
                draw(names),
                first,
                batch,
                draw(encodings),
                draw(fingerprints),
                draw(details(len(batch))),
            )
        )
        first += len(batch) + draw(st.integers(0, 2))
    return made


@st.composite
def losses(draw: st.DrawFn) -> frames.Lost:
    """Lost frames."""
    ids = draw(runs)
    return frames.Lost(ids, draw(_attempts(sum(length for _, length in ids))), draw(texts))


@st.composite
def offers(draw: st.DrawFn) -> frames.Offer:
    """Offer frames, which name every object once."""
    ids = draw(runs_apart)
    count = sum(length for _, length in ids)
    return frames.Offer(
        sequence=draw(counts),
        key=draw(names),
        epoch=draw(counts),
        type=draw(names),
        ids=ids,
        payloads=draw(column(count, payloads)),
        ages_ms=draw(column(count, counts)),
        encoding=draw(encodings),
        fingerprint=draw(fingerprints),
        attempts=draw(_attempts(count)),
        details=draw(details(count)),
        definitions=draw(definitions),
        draining=draw(st.booleans()),
        shared=draw(shared_details(count)),
    )


@st.composite
def shared_details(draw: st.DrawFn, count: int) -> list[tuple[int, int, dict[str, Any]]]:
    """Properties that some neighbours of a batch have in common."""
    ends = sorted(draw(st.sets(st.integers(0, count), max_size=6)))
    return [
        (first, end - first, draw(_properties()))
        for first, end in zip(ends[::2], ends[1::2], strict=False)
    ]


def _columns(
    kind: type[Any], items: dict[str, st.SearchStrategy[Any]], **others: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """Frames whose columns named in `items` have one length."""
    return st.integers(0, 4).flatmap(
        lambda count: st.builds(
            kind, **{name: column(count, item) for name, item in items.items()}, **others
        )
    )


@st.composite
def _sequence_runs(draw: st.DrawFn) -> list[tuple[int, int]]:
    firsts = draw(st.lists(st.integers(1, SEQUENCE_MASK - 1000), max_size=4))
    return [(first, draw(st.integers(1, 1000))) for first in firsts]


versions = st.integers(0, 9)

EACH: dict[type[Any], st.SearchStrategy[Any]] = {
    frames.ClientHello: st.builds(
        frames.ClientHello,
        versions,
        versions,
        texts,
        texts,
        st.sampled_from([b"", bytes(10), b"0123456789"]),
        counts,
    ),
    frames.NodeHello: st.builds(
        frames.NodeHello, versions, texts, texts, texts, counts, counts, addresses
    ),
    frames.Push: pushes(),
    frames.Pushed: st.builds(frames.Pushed, _sequence_runs()),
    frames.PushRefused: st.builds(
        frames.PushRefused,
        st.integers(1, SEQUENCE_MASK - 1000),
        st.integers(1, 1000),
        statuses,
        texts,
        texts,
    ),
    frames.Subscribe: st.builds(
        frames.Subscribe,
        counts,
        counts,
        st.lists(names, max_size=3),
        counts,
        counts,
        max_processing_ms=st.none() | counts,
        max_attempts=st.none() | st.integers(1, 100),
        retry_base_ms=st.none() | counts,
        retry_cap_ms=st.none() | counts,
        reconnect_grace_ms=counts,
        resumed_delivered=st.none() | counts,
    ),
    frames.Unsubscribe: st.builds(frames.Unsubscribe, counts, counts),
    frames.Deliver: deliveries(),
    frames.Watch: st.builds(
        frames.Watch, counts, counts, st.lists(names, max_size=3), counts, counts
    ),
    frames.Copies: deliveries(frames.Copies, how=names, dropped=counts),
    frames.Started: st.builds(frames.Started, counts, counts),
    frames.Settle: settles(),
    frames.Answered: st.builds(
        frames.Answered,
        counts,
        statuses,
        texts,
        texts,
        st.lists(
            st.tuples(object_ids.map(lambda one: one.to_bytes(16, "big")), counts, texts),
            max_size=3,
        ),
    ),
    frames.Lost: losses(),
    frames.Heard: st.builds(frames.Heard, counts),
    frames.Draining: st.builds(frames.Draining, addresses),
    frames.LinkHello: st.builds(
        frames.LinkHello,
        versions,
        versions,
        texts,
        texts,
        texts,
        counts,
        texts,
        st.booleans(),
        counts,
    ),
    frames.Interest: _columns(
        frames.Interest,
        {
            "keys": names,
            "paths": addresses,
            "origins": texts,
            "incarnations": counts,
            "versions": counts,
            "epochs": counts,
        },
        full=st.booleans(),
        definitions=definitions,
    ),
    frames.LinkCredit: _columns(
        frames.LinkCredit,
        {"keys": names, "epochs": counts, "limits": counts, "byte_limits": counts},
    ),
    frames.Backlog: _columns(frames.Backlog, {"keys": names, "epochs": counts, "wanted": counts}),
    frames.Offer: offers(),
    frames.OfferAnswer: st.builds(
        frames.OfferAnswer, counts, counts, st.booleans(), st.lists(counts, max_size=4)
    ),
    frames.CloseOffers: _columns(frames.CloseOffers, {"incarnations": counts, "sequences": counts}),
    frames.AskOffers: _columns(
        frames.AskOffers,
        {"incarnations": counts, "sequences": counts},
        incarnation=counts,
        next_sequence=counts,
    ),
    frames.Peers: _columns(frames.Peers, {"nodes": texts, "names": texts, "addresses": texts}),
    frames.KeysSettled: st.builds(frames.KeysSettled, runs),
    frames.AskKeys: st.builds(frames.AskKeys, runs),
    frames.Question: st.builds(frames.Question, searches, names, payloads, counts, counts),
    frames.Reply: _columns(
        frames.Reply,
        {"known_nodes": texts, "known_names": texts, "known_addresses": texts},
        search=searches,
        node=texts,
        name=texts,
        address=texts,
        body=payloads,
        error=texts,
    ),
    frames.RepliesEnd: st.builds(frames.RepliesEnd, searches),
    frames.PushRequest: st.builds(
        frames.PushRequest,
        names,
        payloads,
        encodings,
        fingerprints,
        st.none() | counts,
        st.none() | counts,
        st.booleans(),
        st.none() | counts,
        texts,
        texts,
    ),
    frames.PushReply: st.builds(frames.PushReply, texts),
    frames.DefineRequest: st.builds(frames.DefineRequest, names, texts, st.booleans()),
    frames.DefineReply: st.builds(frames.DefineReply, fingerprints),
    frames.TypesRequest: st.builds(frames.TypesRequest, texts),
    frames.TypesReply: st.builds(frames.TypesReply, definitions),
    frames.StatusRequest: st.just(frames.StatusRequest()),
    frames.StatusReply: st.builds(frames.StatusReply, payloads),
    frames.PingRequest: st.builds(frames.PingRequest, versions, versions),
    frames.ObjectsRequest: st.builds(
        frames.ObjectsRequest,
        names,
        addresses,
        addresses,
        counts,
        texts,
        counts,
        texts,
        counts,
    ),
    frames.ObjectsReply: st.builds(frames.ObjectsReply, payloads, texts),
    frames.DeadLettersRequest: st.builds(
        frames.DeadLettersRequest,
        st.sampled_from(["retry", "discard"]),
        names,
        addresses,
        st.booleans(),
        texts,
        counts,
    ),
    frames.DeadLettersReply: _columns(
        frames.DeadLettersReply, {"refused": texts, "reasons": texts}, done=counts
    ),
    frames.ExplainRequest: st.builds(frames.ExplainRequest, texts, counts),
    frames.ExplainReply: st.builds(frames.ExplainReply, payloads),
    frames.ForgetRequest: st.builds(frames.ForgetRequest, texts, st.booleans()),
    frames.ForgetReply: st.builds(frames.ForgetReply, payloads),
    frames.QueryRequest: st.builds(
        frames.QueryRequest,
        texts,
        texts,
        st.lists(texts, max_size=2),
        st.none() | counts,
        st.none() | counts,
        texts,
        counts,
        texts,
        st.booleans(),
    ),
    frames.QueryReply: st.builds(frames.QueryReply, payloads),
}
"""A strategy for every class of frame."""

any_frame: st.SearchStrategy[Any] = st.sampled_from(list(EACH)).flatmap(EACH.__getitem__)
"""Frames of every class, as a well-behaved peer sends them."""


# --- what happens to a node, in state machines -------------------------------------------------

TYPE_NAMES = st.sampled_from(["T", "U"])
"""Two types are enough for one to be in the other's way."""
FEW_BYTES = st.binary(max_size=3)
CREDITS = st.integers(0, 4)
DELAYS_S = st.sampled_from([None, 0.0, 2.0])
PICKS = st.integers(0, 30)
"""Chooses one of whatever there is, so that examples shrink to the first."""


def pick(things: list[Any], choice: int) -> Any:
    """The thing that one of `PICKS` chooses."""
    return things[choice % len(things)]
