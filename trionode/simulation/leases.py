"""The leases that are valid at one node, by what it told its consumers and they told it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Lease:
    """One valid lease; `mark` is its number among the deliveries of its subscription."""

    stream: int
    subscription: int
    attempt: int
    mark: int


@attrs.define(eq=False)
class LeaseBook:
    """All valid leases of a life of a node."""

    valid: dict[int, Lease] = attrs.field(factory=dict)
    _streams: dict[int, dict[int, None]] = attrs.field(factory=dict)
    _delivered: dict[tuple[int, int], int] = attrs.field(factory=dict)
    _started: dict[tuple[int, int], int] = attrs.field(factory=dict)

    def grant(self, id_: int, stream: int, subscription: int, attempt: int) -> bool:
        """A lease begins; False if the object is leased already."""
        if id_ in self.valid:
            return False
        key = (stream, subscription)
        mark = self._delivered.get(key, 0)
        self._delivered[key] = mark + 1
        self.valid[id_] = Lease(stream, subscription, attempt, mark)
        self._streams.setdefault(stream, {})[id_] = None
        return True

    def end(self, id_: int, stream: int, attempt: int) -> bool:
        """A lease is named by its holder; True, and it ends, if it is valid."""
        lease = self.valid.get(id_)
        if lease is None or lease.stream != stream or lease.attempt != attempt:
            return False
        del self.valid[id_]
        del self._streams[stream][id_]
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
                del self.valid[id_]
                del self._streams[stream][id_]
        for key in [key for key in self._delivered if key[0] == stream]:
            if subscription is None or key[1] == subscription:
                del self._delivered[key]
                self._started.pop(key, None)
        if subscription is None:
            self._streams.pop(stream, None)
        return ended
