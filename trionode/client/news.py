"""What a Consume stream has for the driver: something to take, an answer, an end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from trionode.client.consumer_core import Subscription
    from trionode.client.leases import Lease


@attrs.frozen(eq=False)
class Arrived:
    """There is something to take."""

    subscription: Subscription


@attrs.frozen(eq=False)
class Confirmed:
    """Something that somebody may wait for has come to a subscription: an answer, or its end."""

    subscription: Subscription


@attrs.frozen(eq=False)
class Ended:
    """Leases whose end somebody waits for or should hear of; their `state` says which end."""

    leases: list[Lease]


Event: TypeAlias = Arrived | Confirmed | Ended
