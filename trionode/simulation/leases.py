"""The leases that are valid at one node, by what it told its consumers and they told it."""

from __future__ import annotations

import attrs

from trionode.simulation.fates import InvariantBroken


@attrs.frozen
class Lease:
    """One valid lease; `mark` is its number among the deliveries of its subscription."""

    stream: int
    subscription: int
    attempt: int
    mark: int
    size_bytes: int


@attrs.define(eq=False)
class Window:
    """What a subscription allows (G7), and what is leased to it."""

    credit: int
    credit_bytes: int
    leased: int = 0
    leased_bytes: int = 0


@attrs.define(eq=False)
class LeaseBook:
    """All valid leases of a life of a node."""

    valid: dict[int, Lease] = attrs.field(factory=dict)
    _streams: dict[int, dict[int, None]] = attrs.field(factory=dict)
    _delivered: dict[tuple[int, int], int] = attrs.field(factory=dict)
    _started: dict[tuple[int, int], int] = attrs.field(factory=dict)
    _windows: dict[tuple[int, int], Window] = attrs.field(factory=dict)

    def subscribed(self, stream: int, subscription: int, credit: int, credit_bytes: int) -> None:
        """A subscription is opened or its window set again."""
        window = self._windows.setdefault((stream, subscription), Window(0, 0))
        window.credit, window.credit_bytes = credit, credit_bytes

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
        self.valid[id_] = Lease(stream, subscription, attempt, mark, size_bytes)
        self._streams.setdefault(stream, {})[id_] = None

    def _release(self, id_: int, lease: Lease) -> None:
        del self.valid[id_]
        del self._streams[lease.stream][id_]
        window = self._windows[lease.stream, lease.subscription]
        window.leased -= 1
        window.leased_bytes -= lease.size_bytes

    def end(self, id_: int, stream: int, attempt: int) -> bool:
        """A lease is named by its holder; True, and it ends, if it is valid."""
        lease = self.valid.get(id_)
        if lease is None or lease.stream != stream or lease.attempt != attempt:
            return False
        self._release(id_, lease)
        return True

    def started(self, stream: int, subscription: int, count: int) -> None:
        """Handlers have begun that many deliveries."""
        key = (stream, subscription)
        count = min(count, self._delivered.get(key, 0))
        self._started[key] = max(self._started.get(key, 0), count)

    def end_stream(self, stream: int, subscription: int | None) -> list[tuple[int, bool]]:
        """All leases of a stream, or of one subscription of it, end.

        Returns:
            Each object with whether its handler had begun.
        """
        ended = []
        for id_ in list(self._streams.get(stream, ())):
            lease = self.valid[id_]
            if subscription is None or lease.subscription == subscription:
                begun = self._started.get((stream, lease.subscription), 0)
                ended.append((id_, lease.mark < begun))
                self._release(id_, lease)
        for key in [key for key in self._windows if key[0] == stream]:
            if subscription is None or key[1] == subscription:
                del self._windows[key]
                self._delivered.pop(key, None)
                self._started.pop(key, None)
        if subscription is None:
            self._streams.pop(stream, None)
        return ended
