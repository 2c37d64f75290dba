"""Which classes a client pushes objects of, and that the node it is connected to knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.client.node_connection import ask
from trionode.client.producer_core import Shape
from trionode.client.types import type_name_of
from trionode.client.values import JSON, schema_of
from trionode.errors import ProtocolError, Refused
from trionode.wire import frames

if TYPE_CHECKING:
    from trionode.client.connector import Connector
    from trionode.logs import Logger
    from trionode.net.connection import Connection


@attrs.define(eq=False)
class _Known:
    """A definition that a node has accepted, and what pushes under it look like."""

    request: frames.DefineRequest
    shape: Shape
    connection: Connection
    """The last one on which a node was told."""


class Definitions:
    """The classes that this client has defined, so that nodes validate what it pushes."""

    def __init__(self, connector: Connector, log: Logger) -> None:
        self._connector = connector
        self._log = log
        self._known: dict[tuple[type, str | None], _Known] = {}

    def shape_of(self, cls: type, type_name: str | None) -> Shape | None:
        """How objects of a class are pushed; None when the class has not been defined."""
        known = self._known.get((cls, type_name))
        return None if known is None else known.shape

    async def define(self, cls: type, type_name: str | None) -> Shape:
        """Define a class under its type's name or another; how its objects are pushed.

        Raises:
            Refused: the node knows a definition that this one is not compatible with.
            TypeError: the class has no schema.
        """
        name = type_name_of(cls) if type_name is None else type_name
        request = frames.DefineRequest(name, schema_of(cls))
        while True:
            node = await self._connector.connected()
            reply = await self._connector.ask(frames.DEFINE, request, frames.DefineReply)
            if node is self._connector.current:
                break
        shape = Shape(name, JSON, reply.fingerprint)
        self._known[cls, type_name] = _Known(request, shape, node.connection)
        return shape

    async def renew(self, connection: Connection) -> None:
        """Define all of them at a node once more, before anything is pushed to it.

        One that the node refuses is logged: it refuses the pushes too, and those raise.

        Raises:
            ConnectionLost: the connection is over.
        """
        for known in list(self._known.values()):
            if known.connection is not connection:
                try:
                    await ask(connection, frames.DEFINE, known.request, frames.DefineReply)
                except (Refused, ProtocolError) as error:
                    self._log.warning(
                        "a definition is not taken", type=known.shape.type, reason=str(error)
                    )
                known.connection = connection
