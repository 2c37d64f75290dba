"""What can be configured: one frozen class per section, a field per key, units in the names.

Defaults of routing and of connections are those of the classes they are handed to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trionode.config import checks
from trionode.config.checks import InvalidValue, shown
from trionode.net.options import ConnectionOptions
from trionode.routing.options import RoutingOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MESSAGE_HEADROOM_BYTES = 2 * MIB
"""How much longer a message may be than the largest object: its columns and its details."""
STREAM_PART = 2
"""Of what may wait unsent on a call, one part in so many may be payloads that are unsettled, so
that what goes with them finds room as well."""
WATCH_PART = 4
"""The same of copies for those who watch."""

_ROUTING = RoutingOptions()
_CONNECTION = ConnectionOptions()


@attrs.frozen
class Node:
    """`[node]`: who this node is and where it is found."""

    name: str = attrs.field(default="", validator=checks.node_name())
    """Its name, a label for people. Empty: the name of the machine."""
    listen: tuple[str, ...] = attrs.field(
        default=("127.0.0.1:7400",), validator=checks.listen_addresses()
    )
    """Addresses that clients and peers connect to. Port 0: a free port, printed at the start."""
    advertise: str = attrs.field(default="", validator=checks.address_or_nothing())
    """The address that others are told to dial, where it is not the one listened on (NAT,
    containers). Empty: the first one listened on."""
    data_dir: str = attrs.field(default="", validator=checks.directory())
    """Where the node keeps its id and a durable store keeps its objects. Empty:
    `$STATE_DIRECTORY`, which systemd sets, else the user's state directory."""
    drain_timeout_s: float = attrs.field(default=30.0, validator=checks.seconds())
    """How long a node that was told to stop waits for leases to be settled and objects to move."""


@attrs.frozen
class Peers:
    """`[peers]`: the other nodes, and how they are dialled."""

    addresses: tuple[str, ...] = attrs.field(default=(), validator=checks.peer_addresses())
    """Addresses of other nodes. One of a mesh is enough where discovery is on."""
    discovery: bool = attrs.field(default=True, validator=checks.switch())
    """Also link to the nodes that peers tell of."""
    backoff_min_s: float = attrs.field(default=0.1, validator=checks.seconds(0.001))
    """The bound of the wait before a lost or refused link is dialled again; doubles each time."""
    backoff_max_s: float = attrs.field(default=10.0, validator=checks.seconds(0.001))
    """The longest that bound grows."""

    def __attrs_post_init__(self) -> None:
        _at_least(self, "backoff_max_s", "backoff_min_s")


@attrs.frozen
class Store:
    """`[store]`: where objects are kept."""

    kind: str = attrs.field(default="sqlite", validator=checks.choice("memory", "sqlite"))
    """`sqlite`: in the data directory; an acknowledged object is on disk. `memory`: an acknowledged
    object lives as long as the node does."""
    retention_s: float = attrs.field(default=0.0, validator=checks.seconds())
    """How long settled objects are kept for `trionode query`, by a durable store; 0: not at all."""
    retention_objects: int = attrs.field(default=1_000_000, validator=checks.count())
    """The most settled objects that are kept; the oldest go first."""
    retention_bytes: int = attrs.field(default=1 * GIB, validator=checks.count())
    """The most bytes of payloads of settled objects that are kept."""


@attrs.frozen
class Routing:
    """`[routing]`: when objects move, and when they are given up."""

    transfer_after_s: float = attrs.field(
        default=_ROUTING.transfer_after_s, validator=checks.seconds()
    )
    """How long a type's objects stay after its last local subscription went, so that a worker's
    restart does not ship them away."""
    overflow_after_s: float = attrs.field(
        default=_ROUTING.overflow_after_s, validator=checks.seconds(0.001)
    )
    """How long an object waits for local credit before it may move to a peer that has some;
    doubles with each hop."""
    overflow_cap_s: float = attrs.field(
        default=_ROUTING.overflow_cap_s, validator=checks.seconds(0.001)
    )
    """The longest that wait grows."""
    relay_window: int = attrs.field(default=_ROUTING.relay_window, validator=checks.count())
    """How many objects of a type this node holds on their way between two others."""
    max_hops: int = attrs.field(default=_ROUTING.max_hops, validator=checks.count(1, 64))
    """How far, in links, a subscription is heard of."""
    in_doubt_timeout_s: float = attrs.field(
        default=_ROUTING.in_doubt_timeout_s, validator=checks.seconds(0.001)
    )
    """How long objects that were on their way to a peer wait for it to come back, before they are
    ready again and may be processed twice."""
    credit_withdraw_after_s: float = attrs.field(
        default=_ROUTING.credit_withdraw_after_s, validator=checks.seconds(0.001)
    )
    """After how long credit that a peer does not use is given to another."""
    allow_volatile: bool = attrs.field(default=_ROUTING.allow_volatile, validator=checks.switch())
    """Whether a node with a durable store gives objects to one without."""
    max_attempts: int = attrs.field(default=_ROUTING.max_attempts, validator=checks.count())
    """How often an object is tried before it is a dead letter."""
    max_processing_s: float = attrs.field(
        default=_ROUTING.max_processing_s, validator=checks.seconds()
    )
    """How long a consumer may have one delivery, unless its subscription says otherwise; what it
    has had for longer is taken back and counts as failed. 0: as long as the consumer lives."""
    retry_base_s: float = attrs.field(default=_ROUTING.retry_base_s, validator=checks.seconds())
    """The wait before the second attempt, where the consumer names none; doubles each time."""
    retry_cap_s: float = attrs.field(default=_ROUTING.retry_cap_s, validator=checks.seconds())
    """The longest that wait grows."""

    def __attrs_post_init__(self) -> None:
        _at_least(self, "overflow_cap_s", "overflow_after_s")
        _at_least(self, "retry_cap_s", "retry_base_s")


@attrs.frozen
class Limits:
    """`[limits]`: how much this node takes."""

    max_object_bytes: int = attrs.field(default=4 * MIB, validator=checks.count(1 * KIB, 256 * MIB))
    """The largest payload of one object."""
    memory_bytes: int = attrs.field(default=1 * GIB, validator=checks.count(1 * MIB))
    """What held objects take in memory, all together: payloads, properties and 400 bytes for each.
    The process needs a fifth more, and about 100 MiB for everything else."""
    push_high_water: float = attrs.field(default=0.85, validator=checks.fraction())
    """The part of `memory_bytes` above which pushes wait; the rest is for transfers and results."""
    push_timeout_s: float = attrs.field(default=10.0, validator=checks.seconds())
    """How long a push waits for space before it is refused."""
    max_type_objects: int = attrs.field(default=0, validator=checks.count(0))
    """Objects of one type that may be held when more are pushed. Beyond, pushes of that type are
    refused at once; transfers and results are not. 0: only memory bounds them."""
    max_type_bytes: int = attrs.field(default=0, validator=checks.count(0))
    """The same in bytes of their payloads, also of those on disk. 0: only memory bounds them."""
    max_stream_subscriptions: int = attrs.field(default=4096, validator=checks.count())
    """Subscriptions, watching ones among them, that one consumer's stream may have."""
    max_stream_types: int = attrs.field(default=10_000, validator=checks.count())
    """Types and patterns that these may name in all: every peer is told of each."""
    max_stream_credit: int = attrs.field(default=4_000_000, validator=checks.count())
    """Deliveries that these may have unsettled in all, by the credit that they are given."""
    max_stream_pushes: int = attrs.field(default=100_000, validator=checks.count())
    """Objects that one producer's stream may have taken and not acknowledged; more wait, and are
    refused after `push_timeout_s`."""
    max_connections: int = attrs.field(default=4096, validator=checks.count())
    """Connections of clients and peers together; above, new ones are closed at once."""
    producers_remembered: int = attrs.field(
        default=_ROUTING.producers_remembered, validator=checks.count()
    )
    """Producers whose pushes are recognised when they come again after a reconnect."""
    key_window_s: float = attrs.field(
        default=_ROUTING.key_window_s, validator=checks.seconds(0.001)
    )
    """How long a push that repeats the key of an earlier one of its type stores nothing."""
    keys_remembered: int = attrs.field(default=_ROUTING.keys_remembered, validator=checks.count())
    """Keys that are remembered for that, at about 300 bytes of `memory_bytes` each; beyond it the
    oldest are forgotten first."""

    def __attrs_post_init__(self) -> None:
        room_bytes = int(self.memory_bytes * self.push_high_water)
        if self.max_object_bytes > room_bytes:
            allowed = f"at most memory_bytes times push_high_water, {room_bytes}"
            raise InvalidValue("max_object_bytes", self.max_object_bytes, allowed)
        if 0 < self.max_type_bytes < self.max_object_bytes:
            allowed = f"0, or at least max_object_bytes, {self.max_object_bytes}"
            raise InvalidValue("max_type_bytes", self.max_type_bytes, allowed)


@attrs.frozen
class Memory:
    """`[memory]`: what of the objects a durable node holds in memory."""

    payload_limit: int = attrs.field(
        default=_ROUTING.payload_limit_bytes, validator=checks.count(1 * MIB)
    )
    """Bytes of payloads. What is beyond stays on disk and is read ahead of its turn, so that a
    backlog may be larger than memory. Without a durable store it has no meaning."""


@attrs.frozen
class Types:
    """`[types]`: what may be pushed."""

    strict: bool = attrs.field(default=False, validator=checks.switch())
    """Refuse pushes of types that nobody has defined."""


@attrs.frozen
class Http2:
    """`[http2]`: windows, bounds and timeouts of connections. The defaults suit most."""

    stream_window_bytes: int = attrs.field(
        default=_CONNECTION.stream_window_bytes, validator=checks.count(65_535, 2**31 - 1)
    )
    """What a peer may send on one call before it is read."""
    connection_window_bytes: int = attrs.field(
        default=_CONNECTION.connection_window_bytes, validator=checks.count(65_535, 2**31 - 1)
    )
    """What it may send on all calls of a connection together before it has come in."""
    max_frame_bytes: int = attrs.field(
        default=_CONNECTION.max_frame_bytes, validator=checks.count(16 * KIB, 2**24 - 1)
    )
    """The longest HTTP/2 frame. Longer ones are slower and hold up other calls."""
    max_concurrent_streams: int = attrs.field(
        default=_CONNECTION.max_concurrent_streams, validator=checks.count(1, 2**31 - 1)
    )
    """Calls that one connection may have running."""
    max_header_list_bytes: int = attrs.field(
        default=_CONNECTION.max_header_list_bytes, validator=checks.count(4 * KIB, 1 * MIB)
    )
    """The most that the headers of one request may decode to."""
    max_unsent_bytes: int = attrs.field(
        default=_CONNECTION.max_unsent_bytes, validator=checks.count(1 * MIB)
    )
    """The most that may wait on one call for a peer that does not read; above, it is reset."""
    max_unread_bytes: int = attrs.field(
        default=_CONNECTION.max_unread_bytes, validator=checks.count(1 * MIB)
    )
    """The most that a peer's link may have sent that is not handled yet; above, it is reset."""
    max_control_bytes: int = attrs.field(
        default=_CONNECTION.max_control_bytes, validator=checks.count(16 * KIB)
    )
    """Answers to a peer that may wait to be written before nothing more is read from it."""
    keepalive_idle_s: float = attrs.field(
        default=_CONNECTION.keepalive_idle_s or 0.0, validator=checks.seconds()
    )
    """A PING is sent when nothing came for so long; 0: never."""
    keepalive_timeout_s: float = attrs.field(
        default=_CONNECTION.keepalive_timeout_s or 0.0, validator=checks.seconds()
    )
    """The connection is lost when nothing comes for so long after a PING; 0: TCP alone judges, so
    that a client whose handler blocks it stays connected."""
    handshake_timeout_s: float = attrs.field(
        default=_CONNECTION.handshake_timeout_s, validator=checks.seconds(0.001)
    )
    """How long a peer may take for what HTTP/2 begins with, and for any block of headers."""
    write_timeout_s: float = attrs.field(
        default=_CONNECTION.write_timeout_s, validator=checks.seconds(0.001)
    )
    """How long one write may take before the connection is lost."""
    close_timeout_s: float = attrs.field(
        default=_CONNECTION.close_timeout_s, validator=checks.seconds(0.001)
    )
    """How long a connection that ends may take to write what is queued."""

    def __attrs_post_init__(self) -> None:
        _at_least(self, "connection_window_bytes", "stream_window_bytes")


@attrs.frozen
class Logging:
    """`[logging]`: what is written to stderr."""

    level: str = attrs.field(
        default="info", validator=checks.choice("debug", "info", "warning", "error")
    )
    """The least important lines that are written."""
    format: str = attrs.field(default="auto", validator=checks.choice("auto", "human", "json"))
    """`human`, `json`, or `auto`: human on a terminal, else JSON."""
    queue_size: int = attrs.field(default=10_000, validator=checks.count(1, 1_000_000))
    """Lines that may wait for stderr; more are dropped and counted."""


@attrs.frozen
class Config:
    """Everything that is configured, and where each value came from."""

    node: Node = attrs.field(factory=Node)
    peers: Peers = attrs.field(factory=Peers)
    store: Store = attrs.field(factory=Store)
    routing: Routing = attrs.field(factory=Routing)
    limits: Limits = attrs.field(factory=Limits)
    memory: Memory = attrs.field(factory=Memory)
    types: Types = attrs.field(factory=Types)
    http2: Http2 = attrs.field(factory=Http2)
    logging: Logging = attrs.field(factory=Logging)
    origins: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)
    """`section.key` -> the file, variable or flag that set it; a default where it is missing."""

    def __attrs_post_init__(self) -> None:
        least_bytes = self.limits.max_object_bytes + MESSAGE_HEADROOM_BYTES
        for key in ("max_unsent_bytes", "max_unread_bytes"):
            if getattr(self.http2, key) < least_bytes:
                allowed = f"at least limits.max_object_bytes and a message's frame, {least_bytes}"
                raise InvalidValue(key, getattr(self.http2, key), allowed)

    def routing_options(self) -> RoutingOptions:
        """What the routing brain is given."""
        return RoutingOptions(
            **_values(self.routing),
            max_held_bytes=self.limits.memory_bytes,
            stream_bytes=self.http2.max_unsent_bytes // STREAM_PART,
            payload_limit_bytes=self.memory.payload_limit,
            producers_remembered=self.limits.producers_remembered,
            key_window_s=self.limits.key_window_s,
            keys_remembered=self.limits.keys_remembered,
        )

    def connection_options(self) -> ConnectionOptions:
        """What connections are given."""
        values = _values(self.http2)
        for key in ("keepalive_idle_s", "keepalive_timeout_s"):
            values[key] = values[key] or None
        message_bytes = self.limits.max_object_bytes + MESSAGE_HEADROOM_BYTES
        return ConnectionOptions(**values, max_message_bytes=message_bytes)


SECTIONS: dict[str, type[Any]] = {
    "node": Node,
    "peers": Peers,
    "store": Store,
    "routing": Routing,
    "limits": Limits,
    "memory": Memory,
    "types": Types,
    "http2": Http2,
    "logging": Logging,
}
"""The sections of `Config` in the order they are shown."""

for _section in SECTIONS.values():
    attrs.resolve_types(_section)


def fields_of(section: str) -> dict[str, attrs.Attribute[Any]]:
    """The keys of a section with their types, defaults and checks."""
    return {field.name: field for field in attrs.fields(SECTIONS[section])}


def _values(section: Any) -> dict[str, Any]:
    return attrs.asdict(section, recurse=False)


def _at_least(section: Any, key: str, other: str) -> None:
    """Hold one field of a section to be no less than another."""
    found, bound = getattr(section, key), getattr(section, other)
    if found < bound:
        raise InvalidValue(key, found, f"at least {other}, {shown(bound)}")
