"""A node as a process: signals, logs, the limits of the system, the store that was asked for."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from trionode import logs
from trionode.errors import ConfigurationError
from trionode.node.node import Node
from trionode.store import MemoryStore, Retention, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.config import Config
    from trionode.store import Store

COLLECTOR_THRESHOLDS = (10_000, 20, 10)
"""When Python looks for cycles. A held object is never in one, but each look walks over all that
are new; by default that is as much work as taking custody of them."""
DONE = 0
LEFT_BEHIND = 1


async def run_node(
    config: Config,
    *,
    on_ready: Callable[[str], None],
    reread: Callable[[], Config],
) -> int:
    """Run a node until SIGTERM or SIGINT; returns the exit status.

    Args:
        config: complete.
        on_ready: called with the address once clients and peers are served.
        reread: reads the configuration again, at SIGHUP.

    Raises:
        Error: the node could not start, or must not go on; the message says why.
    """
    log = logs.get_logger(node=config.node.name)
    with logs.start(
        level=config.logging.level,
        form=config.logging.format,
        queue_size=config.logging.queue_size,
    ) as running:
        _raise_file_limit(config.limits.max_connections, log)
        gc.set_threshold(*COLLECTOR_THRESHOLDS)
        node = Node(
            config,
            make_store(config),
            log=log,
            random_bytes=os.urandom,
            unix_time=time.time,
        )
        left = 0
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            await nursery.start(_heed_signals, node, log, running, reread)
            try:
                async with trio.open_nursery() as inner:

                    async def run(
                        task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
                    ) -> None:
                        nonlocal left
                        left = await node.run(task_status=task_status)

                    address = await inner.start(run)
                    gc.freeze()  # what a node needs in order to run is never garbage
                    on_ready(address)
            except* Exception as group:  # noqa: BLE001  # the first says it; a nursery makes groups
                failure = _first(group)
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if left:
            log.error("objects were lost: this node keeps them in memory only", count=left)
            return LEFT_BEHIND
        return DONE


def make_store(config: Config) -> Store:
    """The store of the kind that is configured."""
    if config.store.kind == "memory":
        return MemoryStore(os.urandom)
    store = config.store
    return SqliteStore(
        Path(config.node.data_dir),
        config.node.name,
        os.urandom,
        Retention(store.retention_s, store.retention_objects, store.retention_bytes),
    )


async def _heed_signals(
    node: Node,
    log: logs.Logger,
    running: logs.Logs,
    reread: Callable[[], Config],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Task: SIGTERM and SIGINT stop the node, SIGHUP has the configuration read again."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for signum in signals:
            if signum != signal.SIGHUP:
                node.stop()
                continue
            try:
                config = reread()
            except ConfigurationError as error:
                log.warning("the configuration was not read again", error=str(error))
                continue
            running.set_level(config.logging.level)
            running.set_format(config.logging.format)
            taken = ("logging.level", "logging.format")
            waiting = [key for key in node.reload(config) if key not in taken]
            log.info("the configuration was read again")
            if waiting:
                text = "changed settings that take effect with the next start only"
                log.warning(text, keys=", ".join(waiting))


def _raise_file_limit(connections: int, log: logs.Logger) -> None:
    """Allow as many open files as connections need, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            log.warning("too few files may be open for limits.max_connections", allowed=allowed)


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
