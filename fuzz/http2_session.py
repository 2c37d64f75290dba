"""Whatever a peer sends, a session takes it or raises ProtocolError, never anything else.

Run: python fuzz/http2_session.py [SECONDS] [FIRST_SEED]. A failure prints its seed and stops.
"""

from __future__ import annotations

import random
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from typing import TYPE_CHECKING

from tests.support.sessions import Lone
from trionode.errors import ProtocolError
from trionode.wire import grpc

if TYPE_CHECKING:
    from tests.support.frames import FrameFactory

STREAMS = [1, 1, 1, 3, 5, 2, 4, 7, 2**31 - 1]
NUMBERS = [0, 1, 2, 16_384, 65_535, 2**31 - 1, 2**31, 2**32 - 1]
NAMES = [":status", ":path", "x", "X", "a b", "", "content-length", "te", "connection", ":x"]
VALUES = ["", "200", "1", "abc", "\x00", "a\nb", "100"]


def frame(rng: random.Random, make: FrameFactory) -> bytes:
    """One frame, right or wrong."""
    stream_id, end = rng.choice(STREAMS), rng.random() < 0.3
    choices = [
        lambda: make.request(stream_id, end=end),
        lambda: make.message(stream_id, bytes(rng.randint(0, 50)), end=end),
        lambda: make.data(stream_id, b"x" * rng.randint(0, 5), pad_length=rng.randint(0, 9)),
        lambda: make.settings({rng.choice([1, 2, 3, 4, 5, 6, 8, 99]): rng.choice(NUMBERS)}),
        lambda: make.window_update(rng.choice([0, stream_id]), rng.choice([1, 65_535, 2**31 - 1])),
        lambda: make.reset(stream_id, rng.choice([0, 8, 7, 99])),
        lambda: make.goaway(stream_id, rng.randint(0, 20), b"debug"),
        lambda: make.raw(
            rng.randint(0, 12), rng.randint(0, 255), stream_id, rng.randbytes(rng.randint(0, 30))
        ),
        lambda: make.raw(
            1, rng.choice([0, 4, 5, 0x2D]), stream_id, rng.randbytes(rng.randint(0, 30))
        ),
        lambda: make.continuation(stream_id, b"", end_headers=end),
        lambda: make.priority(stream_id),
        lambda: make.response(stream_id),
        lambda: make.trailers(stream_id),
        lambda: make.push_promise(stream_id, rng.choice([2, 4])),
        lambda: make.headers(stream_id, [(rng.choice(NAMES), rng.choice(VALUES))], end=end),
    ]
    return rng.choice(choices)()


def stream_of(rng: random.Random, make: FrameFactory) -> bytes:
    """A few frames, now and then with bytes that were changed on the way."""
    data = bytearray().join(frame(rng, make) for _ in range(rng.randint(1, 12)))
    if rng.random() < 0.4:
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def run(seed: int) -> None:
    """One session, one peer."""
    rng = random.Random(seed)
    lone = Lone(client=rng.random() < 0.4).greet()
    if lone.client:
        for _ in range(2):
            lone.session.open_stream(grpc.request_headers("/a/b", "node", [], None))
    data = stream_of(rng, lone.frames)
    cut = rng.randint(0, len(data))
    with suppress(ProtocolError):
        for piece in (data[:cut], data[cut:]):
            for event in lone.receive(piece):
                stream_id = getattr(event, "stream_id", 1)
                commands = [
                    lambda stream_id=stream_id: lone.session.reset(stream_id, 8),
                    lambda stream_id=stream_id: lone.session.release(stream_id, completed=True),
                    lambda stream_id=stream_id: lone.session.send_window(stream_id),
                    lambda: lone.session.ping(bytes(8)),
                ]
                rng.choice(commands)()
    lone.session.take_output()


def main() -> None:
    """Run seeds until the time is up."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            run(seed)
        except BaseException:
            print(f"seed {seed}")
            raise
        seed += 1
    print(f"{seed - first} sessions, no failure")


if __name__ == "__main__":
    main()
