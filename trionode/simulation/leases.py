"""The leases that are valid at one node, by what it told its consumers and they told it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing.subscriptions import NO_WISHES, Wishes
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing import events

Key = tuple[int, int]
"""A stream and the number of a subscription on it."""


@attrs.define(eq=False)
class Window:
    """What a subscription allows (G7), and what is leased to it.

    `wishes` are what it asks for besides.
    """

    keys: tuple[str, ...]
    credit: int = 0
    credit_bytes: int = 0
    wishes: Wishes = NO_WISHES
    leased: int = 0
    leased_bytes: int = 0


@attrs.frozen
class Lease:
    """One lease; `mark` is its number among the deliveries of its subscription."""

    id: int
    stream: int
    subscription: int
    attempt: int
    mark: int
    size_bytes: int
    window: Window


Ended = list[tuple[Lease, bool]]
"""Leases that ended, each with whether its handler had begun."""


@attrs.define(eq=False)
class LeaseBook:
    """All valid leases of a life of a node."""

    valid: dict[int, Lease] = attrs.field(factory=dict)
    draining: bool = False
    away: dict[Key, float] = attrs.field(factory=dict)
    """Subscriptions whose streams broke, and until when (the node's clock) they keep leases."""
    ended: dict[int, Lease] = attrs.field(factory=dict)
    """Of the last tick at which some did not come back: whose leases ended."""
    _secrets: dict[bytes, int] = attrs.field(factory=dict)
    """What a consumer proves itself with -> its last stream."""
    _open: dict[int, bytes] = attrs.field(factory=dict)
    _streams: dict[int, dict[int, None]] = attrs.field(factory=dict)
    _delivered: dict[Key, int] = attrs.field(factory=dict)
    _started: dict[Key, int] = attrs.field(factory=dict)
    _windows: dict[Key, Window] = attrs.field(factory=dict)

    def subscribed(self, event: events.Subscribed) -> None:
        """A subscription is opened or its window set again."""
        key = (event.stream, event.subscription)
        window = self._windows.setdefault(key, Window(event.keys))
        window.credit, window.credit_bytes = event.credit, event.credit_bytes
        window.wishes = event.wishes
        self.away.pop(key, None)

    def grant(
        self, id_: int, stream: int, subscription: int, *, attempt: int, size_bytes: int
    ) -> None:
        """A lease begins.

        Raises:
            InvariantBroken: the object is leased already, or the window has no room for it.
        """
        if id_ in self.valid:
            raise InvariantBroken("I6", "leased twice at one node", id_)
        key = (stream, subscription)
        window = self._windows.get(key)
        if window is None:
            raise InvariantBroken("I6", "leased to a subscription that has ended", id_)
        if window.leased >= window.credit or window.leased_bytes >= window.credit_bytes:
            text = f"leased beyond a window: {window.leased} of {window.credit} objects"
            text += f", {window.leased_bytes} of {window.credit_bytes} bytes"
            raise InvariantBroken("G7", text, id_)
        window.leased += 1
        window.leased_bytes += size_bytes
        mark = self._delivered.get(key, 0)
        self._delivered[key] = mark + 1
        self.valid[id_] = Lease(id_, stream, subscription, attempt, mark, size_bytes, window)
        self._streams.setdefault(stream, {})[id_] = None

    def _release(self, lease: Lease) -> None:
        del self.valid[lease.id]
        del self._streams[lease.stream][lease.id]
        window = lease.window
        window.leased -= 1
        window.leased_bytes -= lease.size_bytes

    def end(self, id_: int, stream: int, attempt: int) -> Lease | None:
        """A lease is named by its holder; it ends if it is valid."""
        lease = self.valid.get(id_)
        if lease is None or lease.stream != stream or lease.attempt != attempt:
            return None
        self._release(lease)
        return lease

    def started(self, stream: int, subscription: int, count: int) -> None:
        """Handlers have begun that many deliveries."""
        key = (stream, subscription)
        count = min(count, self._delivered.get(key, 0))
        self._started[key] = max(self._started.get(key, 0), count)

    def windows(self, wanted: Callable[[str], bool]) -> list[tuple[int, Window]]:
        """The windows of subscriptions to keys that are wanted, each with its stream."""
        return [
            (stream, window)
            for (stream, _), window in self._windows.items()
            if any(wanted(key) for key in window.keys)
        ]

    def begun(self, lease: Lease) -> bool:
        """Whether a lease's handler has begun, as far as its node was told."""
        return lease.mark < self._started.get((lease.stream, lease.subscription), 0)

    def end_stream(self, stream: int, subscription: int | None) -> Ended:
        """All leases of a stream, or of one subscription of it, end.

        Returns:
            These, each with whether its handler had begun.
        """
        ended: Ended = []
        for id_ in list(self._streams.get(stream, ())):
            lease = self.valid[id_]
            if subscription is None or lease.subscription == subscription:
                begun = self._started.get((stream, lease.subscription), 0)
                ended.append((lease, lease.mark < begun))
                self._release(lease)
        for key in [key for key in self._windows if key[0] == stream]:
            if subscription is None or key[1] == subscription:
                del self._windows[key]
                self.away.pop(key, None)
                self._delivered.pop(key, None)
                self._started.pop(key, None)
        if subscription is None:
            self._streams.pop(stream, None)
            self._secrets.pop(self._open.pop(stream, b""), None)
        return ended

    # --- broken streams, and consumers that come back ------------------------------------------

    def broken(self, stream: int, now: float) -> Ended:
        """A stream ended without a word: what has a grace keeps its leases, the rest ends."""
        secret = self._open.get(stream)
        if secret is None or self.draining:
            return self.end_stream(stream, None)
        del self._open[stream]
        ended: Ended = []
        for key, window in [item for item in self._windows.items() if item[0][0] == stream]:
            grace_s = window.wishes.reconnect_grace_s
            if grace_s and window.leased and key not in self.away:
                self.away[key] = now + grace_s
                window.credit = 0
            if key not in self.away:
                ended += self.end_stream(*key)
        return ended

    def came(self, stream: int, secret: bytes, now: float) -> Ended:
        """A stream opened, in the place of the one that its consumer had before.

        Returns what ends because the node learns only now that that one is broken.
        """
        before = self._secrets.get(secret, 0)
        ended = self.broken(before, now) if before in self._open else []
        for _, number in [key for key in self._windows if key[0] == before]:
            self._rename((before, number), (stream, number))
        leased = self._streams.pop(before, {})
        for id_ in leased:
            self.valid[id_] = attrs.evolve(self.valid[id_], stream=stream)
        self._streams[stream] = leased
        self._secrets[secret] = stream
        self._open[stream] = secret
        return ended

    def _rename(self, old: Key, new: Key) -> None:
        self._windows[new] = self._windows.pop(old)
        self._delivered[new] = self._delivered.pop(old, 0)
        self._started[new] = self._started.pop(old, 0)
        if old in self.away:
            self.away[new] = self.away.pop(old)

    def replaced(self, event: events.Subscribed) -> Ended:
        """What ends because a consumer that was away asks for something else instead."""
        key = (event.stream, event.subscription)
        if key not in self.away:
            return []
        if event.resumed is not None and {*self._windows[key].keys} == {*event.keys}:
            return []
        return self.end_stream(*key)

    def resumed(self, event: events.Subscribed, at: events.Resumed) -> list[tuple[int, int]]:
        """A consumer goes on where it was; what did not reach it ends.

        Returns what it believes to have and has not.
        """
        held = dict.fromkeys(at.held)
        for id_ in list(self._streams.get(event.stream, ())):
            lease = self.valid[id_]
            if lease.subscription == event.subscription:
                if (id_, lease.attempt) in held and lease.mark < at.delivered:
                    del held[id_, lease.attempt]
                else:
                    self._release(lease)
        key = (event.stream, event.subscription)
        self._delivered[key] = at.delivered
        self._started[key] = min(self._started.get(key, 0), at.delivered)
        return list(held)
