"""Unary gRPC: one client, grpcio's, against a trionode node and two servers that do nothing.

The same bytes go to all: a `Push` in the node's MessagePack codec, through the custom serializers
of grpcio. The node takes custody; the others only decode the request and answer.

`python -m tests.benchmarks.unary grpcio|grpclib` is one of the servers,
`python -m tests.benchmarks.unary client TARGET COUNT` the client.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgpack

from tests.benchmarks.runs import node_process, python, read_line
from tests.benchmarks.systems.base import lacking
from trionode.wire import frames
from trionode.wire.codec import CODEC_METADATA, MESSAGEPACK

CALLS = 32
"""Calls that the client has running: enough that no server waits for it."""
SERVERS = {"grpcio": {"grpc": "grpcio"}, "grpclib": {"grpc": "grpcio", "grpclib": "grpclib"}}
TYPE = "bench.Unary"


def missing(server: str) -> str:
    """What is not installed of a server and the client; empty when it can run."""
    return lacking(SERVERS.get(server, SERVERS["grpcio"]), {})


def calls_per_s(server: str, count: int) -> float:
    """Unary calls per second that the client gets done at `trionode`, `grpcio` or `grpclib`."""
    if server == "trionode":
        with tempfile.TemporaryDirectory() as directory, node_process(Path(directory)) as address:
            return _measured(address, count)
    with python("tests.benchmarks.unary", server) as process:
        return _measured(f"127.0.0.1:{read_line(process)}", count)


def _measured(target: str, count: int) -> float:
    with python("tests.benchmarks.unary", "client", target, str(count)) as client:
        return float(json.loads(read_line(client)))


def client(target: str, count: int) -> float:
    """Push so many objects by grpcio; each is answered with an id of its own."""
    import grpc  # noqa: PLC0415  # only here is it needed

    request = frames.PushRequest(TYPE, bytes(128), "raw")
    ids = collections.Counter[str]()
    with grpc.insecure_channel(target) as channel:
        push = channel.unary_unary(
            frames.PUSH, request_serializer=MESSAGEPACK.encode, response_deserializer=_id_of
        )
        metadata = ((CODEC_METADATA, "msgpack"),)
        push(request, metadata=metadata, wait_for_ready=True, timeout=30)
        running = collections.deque[Any]()
        began = time.monotonic()
        for _ in range(count):
            if len(running) == CALLS:
                ids[running.popleft().result()] += 1
            running.append(push.future(request, metadata=metadata, timeout=60))
        while running:
            ids[running.popleft().result()] += 1
        took_s = time.monotonic() - began
    if len(ids) != count:
        raise RuntimeError(f"of {count} calls {len(ids)} were answered with an id of their own")
    return count / took_s


def _id_of(data: bytes) -> str:
    frame = MESSAGEPACK.decode(data)
    assert isinstance(frame, frames.PushReply)
    return frame.id


class _Ids:
    """What the servers that do nothing answer."""

    def __init__(self) -> None:
        self._last = 0

    def answer(self, request: Any) -> bytes:
        """The reply to a request that was decoded."""
        assert type(request) is list
        self._last += 1
        return MESSAGEPACK.encode(frames.PushReply(f"{self._last:032x}"))


def serve_grpcio() -> None:
    """grpcio's own synchronous server, with as many threads as there are calls."""
    import grpc  # noqa: PLC0415  # only here is it needed

    ids = _Ids()
    handler = grpc.unary_unary_rpc_method_handler(
        lambda request, _: request,
        request_deserializer=msgpack.unpackb,
        response_serializer=ids.answer,
    )
    service, method = frames.PUSH.strip("/").split("/")
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(CALLS))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


async def serve_grpclib() -> None:
    """grpclib's server, with a codec of MessagePack."""
    from grpclib.const import Cardinality, Handler  # noqa: PLC0415  # only here are they needed
    from grpclib.encoding.base import CodecBase  # noqa: PLC0415
    from grpclib.server import Server  # noqa: PLC0415

    ids = _Ids()

    class Codec(CodecBase):
        __content_subtype__ = "proto"

        def encode(self, message, message_type):
            return ids.answer(message)

        def decode(self, data, message_type):
            return msgpack.unpackb(data)

    class Service:
        async def push(self, stream) -> None:
            await stream.send_message(await stream.recv_message())

        def __mapping__(self):
            return {frames.PUSH: Handler(self.push, Cardinality.UNARY_UNARY, list, list)}

    server = Server([Service()], codec=Codec())
    await server.start("127.0.0.1", 0)
    (listener,) = server._server.sockets  # how grpclib says which port it got: not at all
    print(listener.getsockname()[1], flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    job, *rest = sys.argv[1:]
    if job == "client":
        print(json.dumps(client(rest[0], int(rest[1]))), flush=True)
    elif job == "grpcio":
        serve_grpcio()
    else:
        asyncio.run(serve_grpclib())
