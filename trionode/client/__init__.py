"""The Python client: typed objects in and out of the mesh, over trio.

What is decided is in pure cores (`producer_core`, `consumer_core`): frames in, frames out. What is
here beside them moves frames and wakes tasks.
"""

from trionode.client.client import Client, ClientStatistics
from trionode.client.connecting import connect
from trionode.client.deliveries import Deliveries, Delivery
from trionode.client.emitting import Emit
from trionode.client.inspection import DeadLettersDone, Explanation, ObjectView
from trionode.client.properties import PushOptions
from trionode.client.pusher import Pusher, PushFailed, Receipt
from trionode.client.querying import Found, Query, SilentNode
from trionode.client.subscribing import SubscribeOptions
from trionode.client.types import object_type
from trionode.client.values import schema_of

__all__ = [
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
]
