"""One node: its parts put together, the nursery tree, and the way it leaves.

Nothing here belongs to the process (signals, stderr, limits): several nodes may run in one.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trionode.config import changed_keys
from trionode.errors import Error
from trionode.ids import PRODUCER_BYTES
from trionode.inspection.looking import Looking
from trionode.net import listener
from trionode.net.dialler import parse_address
from trionode.net.serving import Route
from trionode.node.asking import Asking
from trionode.node.consuming import Consuming
from trionode.node.context import Counters, NodeContext, Phase
from trionode.node.engine import Engine
from trionode.node.explaining import Explaining
from trionode.node.forgetting import Forgetting
from trionode.node.inspecting import Inspecting
from trionode.node.mesh import Mesh
from trionode.node.network import Tcp
from trionode.node.peers import Peers
from trionode.node.producing import Producing
from trionode.node.querying import Querying
from trionode.node.status import status_of
from trionode.node.supervision import supervise
from trionode.node.unary import Unary
from trionode.routing import Brain, events
from trionode.routing.model import HELD_STATES, State
from trionode.schema.registry import TypeRegistry
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trionode.config import Config
    from trionode.logs import Logger
    from trionode.net.connection import Connection
    from trionode.node.network import Network
    from trionode.routing.custody import TypeTable
    from trionode.store import Store

PATIENT_SHARE = 0.5
"""Of `drain_timeout_s`, after which a node without a durable store waits no more for the return of
peers that it offered objects to: the rest of the time is for handing these to others."""
FAREWELL_S = 5.0
"""How long connections may take to end once everything is settled or handed over."""
PROGRESS_S = 2.0
"""How often a long recovery says how far it is."""
REPORT_S = 60.0
"""How often the reporter writes a line of figures, at level debug."""


class NodeFailed(Error):  # noqa: N818  # says what happened, like `Refused`
    """The node cannot go on; the message says why and what to do."""


class Node:
    """A node that is run once.

    Args:
        config: complete, as `trionode.config.load` gives it.
        store: not opened yet; closed when the node has ended.
        log: where the node reports.
        random_bytes: gives so many random bytes.
        unix_time: the wall clock, in seconds.
        network: where streams come from; TCP when it is left out.
    """

    def __init__(  # noqa: PLR0913  # what a node is given is all that it is not itself
        self,
        config: Config,
        store: Store,
        *,
        log: Logger,
        random_bytes: Callable[[int], bytes],
        unix_time: Callable[[], float],
        network: Network | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._log = log
        self._random_bytes = random_bytes
        self._unix_time = unix_time
        self.network: Network = network or Tcp()
        self._connections: set[Connection] = set()
        self._listeners: list[trio.abc.Listener[Any]] = []
        self._stop = trio.Event()
        self._served = trio.Event()
        self._failure: str = ""
        self._scope = trio.CancelScope()
        self._context: NodeContext
        self._peers: Peers
        self._querying: Querying | None = None
        self.asking: Asking
        """Questions to every node; made before the node serves."""

    async def run(self, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> int:
        """Serve until `stop`, then drain; returns how many objects were left behind in memory.

        `started` with the address once clients and peers are served.

        Raises:
            ConnectError: an address cannot be listened on.
            StoreError: the store cannot be used.
            NodeFailed: another process runs with this node's id.
        """
        await self._run_blocking(self._open)
        try:
            await self._recover()
            await self._listen()
            with self._scope:
                await self._run_tree(task_status)
            if self._failure:
                raise NodeFailed(self._failure)
            return self._left_behind()
        finally:
            for each in self._listeners:
                with trio.CancelScope(shield=True):
                    await each.aclose()
            if self._querying is not None:
                await self._querying.aclose()
            with trio.CancelScope(shield=True):
                await self._run_blocking(self._store.close)

    def stop(self) -> None:
        """Drain and end; a second call ends at once."""
        if self._stop.is_set():
            self._scope.cancel()
        self._stop.set()

    def reload(self, config: Config) -> list[str]:
        """Take over what can change while the node runs: the section `peers`.

        Returns the keys of all else that differs from what the node was started with.
        """
        # Half of the rest is in use already: with all of it, the node would contradict itself.
        self._context.config = attrs.evolve(self._context.config, peers=config.peers)
        self._peers.set_configured(config.peers.addresses)
        changed = changed_keys(self._config, config)
        return [key for key in changed if not key.startswith("peers.")]

    @property
    def context(self) -> NodeContext:
        """What the node's parts share, for reading."""
        return self._context

    def status(self) -> dict[str, Any]:
        """The status document."""
        return status_of(
            self._context, self._store, self._mesh, started=self._started, now=trio.current_time()
        )

    # --- coming -----------------------------------------------------------------------------------

    async def _run_blocking(self, call: Callable[[], None]) -> None:
        if self._store.blocks:
            await trio.to_thread.run_sync(call)
        else:
            call()

    def _open(self) -> None:
        self._identity = self._store.open(int(self._unix_time() * 1000))

    async def _recover(self) -> None:
        """Make the brain and fill it with what the store kept."""
        config, store, identity = self._config, self._store, self._identity
        brain = Brain(
            identity.node,
            identity.incarnation,
            durable=store.durable,
            options=config.routing_options(),
        )
        counters = Counters()
        parts = store.recover(self._unix_time() - trio.current_time())
        said = trio.current_time()
        while (part := await self._next_part(parts)) is not None:
            brain.handle(part, trio.current_time())
            await trio.lowlevel.checkpoint()
            if trio.current_time() - said >= PROGRESS_S:
                said = trio.current_time()
                self._log.info("recovering", objects=len(brain.context.custody.objects))
        self._account_for_damage(brain)
        if brain.context.custody.objects:
            self._log.info("objects recovered", count=len(brain.context.custody.objects))
        engine = Engine(
            brain,
            store,
            stamp=store.last_stamp,
            unix_time=self._unix_time,
            log=self._log,
            counters=counters,
        )
        self._context = context = NodeContext(
            config=config,
            identity=identity,
            version=version("trionode"),
            engine=engine,
            types=TypeRegistry(strict=config.types.strict),
            log=self._log,
            counters=counters,
            random=lambda: int.from_bytes(self._random_bytes(4), "big") / 2**32,
        )
        for definition in store.definitions():
            context.types.learn(definition)
        self._producing = Producing(context)
        self._consuming = Consuming(context, trio.current_time)
        self._peers = Peers(context, self.network)
        self._mesh = Mesh(context, on_told=self._peers.told, on_twin=self._fail)
        self.asking = Asking(context, self._mesh, self._random_bytes)
        self._querying = Querying(context, store, self.asking)

    def _account_for_damage(self, brain: Brain) -> None:
        """Say, and count, what the store had and could not read."""
        found = self._store.damage()
        for each in found:
            self._log.error(
                "a record of the store is damaged", store=self._store.kind, what=str(each)
            )
        lost = [(each.type, each.count, each.size_bytes) for each in found if each.type]
        if lost:
            brain.handle(events.Recovered(damaged=lost), trio.current_time())

    async def _next_part(self, parts: Any) -> events.Recovered | None:
        if self._store.blocks:
            return await trio.to_thread.run_sync(next, parts, None)
        return next(parts, None)

    async def _listen(self) -> None:
        for address in self._config.node.listen:
            host, port = parse_address(address)
            self._listeners.extend(await self.network.listen(host, port))
        bound = self.network.address_of(self._listeners[0])
        self._context.address = self._config.node.advertise or bound
        self._bound = bound

    async def _run_tree(self, task_status: trio.TaskStatus[str]) -> None:
        context = self._context
        producer = int.from_bytes(self._random_bytes(PRODUCER_BYTES), "big")
        assert self._querying is not None, "the node has recovered"
        unary = Unary(context, self._producing, producer, self.status)
        looking = Looking(context.engine.brain, self._mesh.known)
        inspecting = Inspecting(context, looking)
        explaining = Explaining(context, self.asking, looking, self._querying)
        forgetting = Forgetting(context, self._mesh, self._peers, self.asking)
        routes = {
            frames.PRODUCE: Route(self._producing.serve),
            frames.CONSUME: Route(self._consuming.serve),
            frames.LINK: Route(self._mesh.serve, eager=True),
            **unary.routes(),
            **inspecting.routes(),
            **explaining.routes(),
            **self._querying.routes(),
            **forgetting.routes(),
        }
        self._started = trio.current_time()
        async with trio.open_nursery() as nursery:
            tasks: dict[str, Callable[[], Any]] = {
                "rebalancer": context.engine.run_ticks,
                "store committer": context.engine.run_commits,
                "payload reader": context.engine.run_reads,
                "tidying": context.engine.run_tidying,
                "reporter": self._report,
                "peers": lambda: self._peers.run(self._mesh),
                "news of peers": self._mesh.run_news,
                "questions": self.asking.run,
            }
            for name, task in tasks.items():
                nursery.start_soon(supervise, name, task, context, name=name)
            await nursery.start(self._serve, self._listeners, routes)
            context.phase = Phase.RUNNING
            self._log.info(
                "serving",
                node=context.name,
                id=self._identity.node,
                address=self._bound,
                store=self._store.kind,
            )
            task_status.started(self._bound)
            await self._stop.wait()
            await self._drain()
            nursery.cancel_scope.cancel()

    async def _serve(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        routes: dict[str, Route],
        task_status: trio.TaskStatus[Any],
    ) -> None:
        await listener.serve(
            listeners,
            routes,
            self._config.connection_options(),
            connections=self._connections,
            max_connections=self._config.limits.max_connections,
            log=self._log,
            task_status=task_status,
        )
        self._served.set()

    async def _report(self) -> None:
        """Task, the reporter: now and then a line of figures."""
        while True:
            await trio.sleep(REPORT_S)
            custody = self._context.engine.brain.context.custody
            self._log.debug(
                "figures",
                objects=len(custody.objects),
                payload_bytes=custody.held_bytes,
                links=len(self._mesh.links),
                connections=len(self._connections),
                commits=self._context.engine.commits,
            )

    def _fail(self, message: str) -> None:
        """End the node because it must not go on."""
        self._failure = message
        self._scope.cancel()

    # --- leaving ----------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """R10: no new leases, pushes or transfers in; what is held is settled or handed over."""
        context, engine = self._context, self._context.engine
        context.phase = Phase.DRAINING
        timeout_s = self._config.node.drain_timeout_s
        self._log.info("draining", node=context.name, timeout_s=timeout_s)
        # Before those who wait for room look again, and find the node leaving.
        self._producing.drain()
        engine.handle(events.DrainStarted())
        self._consuming.drain()
        for each in self._listeners:
            await each.aclose()
        with trio.move_on_after(timeout_s):
            if not engine.durable:
                with trio.move_on_after(timeout_s * PATIENT_SHARE):
                    await engine.until(self._is_done)
                engine.handle(events.DrainEnding())
            await engine.until(self._is_done)
            await engine.committed()
        if engine.store_failure:
            self._log.error(
                "the last commit could not be written; what was settled since may come again",
                error=engine.store_failure,
            )
        context.ending = True
        self._mesh.leave()
        for connection in list(self._connections):
            connection.drain()
        with trio.move_on_after(FAREWELL_S if self._connections else 0):
            # Clients that were told to go elsewhere close theirs.
            await self._served.wait()
        self._log.info("drained", node=context.name, left=len(engine.brain.context.custody.objects))

    def _is_done(self) -> bool:
        """Whether waiting longer would change nothing for the objects held."""
        brain = self._context.engine.brain
        custody = brain.context.custody
        if not custody.objects:
            return True
        tables = custody.tables.values()
        counts = {state: sum([table.counts[state] for table in tables]) for state in HELD_STATES}
        if counts[State.LEASED] or counts[State.TRANSFERRING]:
            return False
        if self._context.engine.durable:
            return not any(self._can_go(table) for table in tables)
        if not all(link.refusing for link in brain.interest.links.values()):
            return False
        return not self._mesh.dialling()  # a peer that may come back in time may take them

    def _can_go(self, table: TypeTable) -> bool:
        """Whether a peer wants ready objects of a type, and may get them (R2)."""
        interest = self._context.engine.brain.interest
        if not table.counts[State.READY]:
            return False
        takers = [interest.links[handle] for _key, handle, _route in interest.ways(table)]
        allow_volatile = self._config.routing.allow_volatile
        return any(link.durable or allow_volatile for link in takers)

    def _left_behind(self) -> int:
        if self._store.durable:
            return 0
        return len(self._context.engine.brain.context.custody.objects)
