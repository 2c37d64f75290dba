"""trionode: a mesh of equal nodes that brings typed objects to the services that process them.

async with trionode.connect("10.0.0.1:7400") as client:
    await client.push(Order("o-1", Decimal("99.50")))
    async with client.subscribe(Invoice) as deliveries:
        async for delivery in deliveries:
            with delivery as invoice:
                await mail(invoice)
"""

from typing import TYPE_CHECKING

from trionode.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    DecodeError,
    EncodeError,
    Error,
    LeaseLost,
    ProtocolError,
    Refused,
    Status,
)
from trionode.ids import ObjectId, format_id, parse_id

if TYPE_CHECKING:
    from trionode.client import (
        Client,
        ClientStatistics,
        DeadLettersDone,
        Deliveries,
        Delivery,
        Emit,
        Explanation,
        Found,
        ObjectView,
        Pusher,
        PushFailed,
        PushOptions,
        Query,
        Receipt,
        SilentNode,
        SubscribeOptions,
        connect,
        object_type,
        schema_of,
    )

_OF_CLIENT = frozenset(
    {
        "Client",
        "ClientStatistics",
        "DeadLettersDone",
        "Deliveries",
        "Delivery",
        "Emit",
        "Explanation",
        "Found",
        "ObjectView",
        "PushFailed",
        "PushOptions",
        "Pusher",
        "Query",
        "Receipt",
        "SilentNode",
        "SubscribeOptions",
        "connect",
        "object_type",
        "schema_of",
    }
)
"""Imported at first use: the command's help and the routing core need no trio, h2 and cattrs."""

__all__ = [
    "Client",
    "ClientStatistics",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLost",
    "DeadLettersDone",
    "DecodeError",
    "Deliveries",
    "Delivery",
    "Emit",
    "EncodeError",
    "Error",
    "Explanation",
    "Found",
    "LeaseLost",
    "ObjectId",
    "ObjectView",
    "ProtocolError",
    "PushFailed",
    "PushOptions",
    "Pusher",
    "Query",
    "Receipt",
    "Refused",
    "SilentNode",
    "Status",
    "SubscribeOptions",
    "connect",
    "format_id",
    "object_type",
    "parse_id",
    "schema_of",
]


def __getattr__(name: str) -> object:
    if name in _OF_CLIENT:
        from trionode import client  # noqa: PLC0415  # see _OF_CLIENT

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
