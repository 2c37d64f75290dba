"""Writes the seeds of the corpus: python fuzz/seeds.py. Other files of the corpus stay as they are.

Small inputs of every shape that a target knows, made by the code that makes them in earnest.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from typing import TYPE_CHECKING

from fuzz import CORPUS
from fuzz.http2_session import MAX_BYTES
from tests.support.frames import PREFACE, FrameFactory
from tests.wire.test_session_conformance import ALLOWED, BROKEN
from trionode.config import Config, describe
from trionode.errors import Status
from trionode.ids import format_id, object_id
from trionode.schema.definition import Definition
from trionode.wire import frames, link_frames, messages
from trionode.wire.codec import MESSAGEPACK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trionode.wire.kinds import Frame

ID = object_id(7, 1)
RUN = [(ID, 2)]
TWO = [b'{"total":1}', b"{}"]
DETAILS = {0: {"deadline_ms": 5, "priority": -1, "path": ["a"], "trace": [1.5, None, {"b": b""}]}}
DEFINITION = Definition("Order", "00ff", '{"type":"object"}')

FRAMES: list[Frame] = [
    frames.ClientHello(producer=b"0123456789", name="shop", acknowledged=3),
    frames.NodeHello(1, "0.1.0", "n1", "left", 1, 4_194_304, ["127.0.0.1:7400"]),
    frames.Push("Order", 1, TWO, fingerprint="00ff", details=DETAILS, acknowledged=1),
    frames.Pushed([(1, 2), (9, 1)]),
    frames.PushRefused(3, 1, Status.RESOURCE_EXHAUSTED, "full", "push more slowly"),
    frames.Subscribe(1, 1, ["Order", "billing.Invoice"], 10, 65_536),
    frames.Unsubscribe(2, 1),
    frames.Deliver(1, "Order", RUN, TWO, attempts=[1, 2], details=DETAILS),
    frames.Watch(1, 1, ["Order", "billing.*"], 10, 65_536),
    frames.Copies(
        1, "Order", RUN, TWO, attempts=[1, 2], details=DETAILS, how="received", dropped=3
    ),
    frames.Started(1, 2),
    frames.Heard(2),
    frames.KeysSettled(RUN),
    frames.AskKeys(RUN),
    frames.Settle(3, "replace", RUN, reason="done", payloads=TWO, encoding="raw"),
    frames.Answered(3, Status.FAILED_PRECONDITION, "no", "try", [(ID.to_bytes(16), 1, "lost")]),
    frames.Lost(RUN, None, "the lease ran out"),
    frames.Heard(2),
    frames.Draining(["127.0.0.1:7401"]),
    frames.LinkHello(1, 1, "0.1.0", "n1", "left", 2, "127.0.0.1:7400", durable=False),
    frames.Interest(
        True, ["Order"], [["n1", "n2"]], ["n2"], [1], [4], [1], [DEFINITION]
    ),  # a column among columns
    frames.LinkCredit(["Order"], [1], [10], [65_536]),
    frames.Backlog(["Order"], [1], [20]),
    frames.Offer(1, "Order", 1, "Order", RUN, TWO, [5, 6], definitions=[DEFINITION], draining=True),
    frames.OfferAnswer(2, 1, refused=[1]),
    frames.CloseOffers([2], [1]),
    frames.AskOffers(2, 3, [2], [1]),
    frames.Peers(["n2"], ["right"], ["127.0.0.1:7401"]),
    frames.KeysSettled(RUN),
    frames.AskKeys(RUN),
    frames.Question(bytes(16), "explain", b"{}", 16, 3000),
    frames.Reply(
        bytes(16), "n1", "left", "127.0.0.1:7400", b"{}", "", ["n2"], ["right"], ["127.0.0.1:7401"]
    ),
    frames.RepliesEnd(bytes(16)),
    frames.PushRequest("Order", b"{}"),
    frames.PushReply(format_id(ID)),
    frames.DefineRequest("Order", '{"type":"object"}', force=True),
    frames.DefineReply("00ff"),
    frames.TypesRequest("Order"),
    frames.TypesReply([DEFINITION]),
    frames.StatusRequest(),
    frames.StatusReply(b'{"name":"left"}'),
    frames.PingRequest(),
    frames.ObjectsRequest("Order", ["ready"], [], 10, "5:3", 100, "failed", 1000),
    frames.ObjectsReply(b"[]", "5:3"),
    frames.DeadLettersRequest("retry", "Order", [format_id(ID)]),
    frames.DeadLettersReply(1, [format_id(ID)], ["it is no dead letter"]),
    frames.ExplainRequest(format_id(ID)),
    frames.ExplainReply(b"{}"),
    frames.ForgetRequest("right"),
    frames.ForgetReply(b"{}"),
    frames.QueryRequest(
        "Order", "total > 1", ["ready"], 1, 2, "total desc", 10, "", everywhere=True
    ),
    frames.QueryReply(b'{"rows":[]}'),
    frames.Heard(2),
    link_frames.KeysSettled(RUN),
    link_frames.AskKeys(RUN),
]


def frame_codecs() -> Mapping[str, bytes]:
    """Every frame, each kind once."""
    return {type(frame).__name__: MESSAGEPACK.encode(frame) for frame in FRAMES}


def message_parser() -> Mapping[str, bytes]:
    """Messages in a stream, and the prefixes that are refused."""
    small_limit, large_limit, gzip = b"\x10", b"\xfc", b"\x12"
    encode = messages.encode
    return {
        "empty": b"",
        "one": large_limit + encode(b"message"),
        "many": large_limit + b"".join(encode(b"x" * length) for length in range(6)),
        "at-the-limit": small_limit + encode(b"1234"),
        "above-the-limit": small_limit + encode(b"12345"),
        "unfinished": large_limit + encode(b"message")[:-1],
        "cut-prefix": large_limit + encode(b"message") + b"\x00\x00",
        "compressed-unannounced": small_limit + b"\x01" + encode(b"ab")[1:],
        "compressed-gzip": gzip + encode(b"ab") + b"\x01" + encode(b"ab")[1:],
        "bad-flag": gzip + b"\x02" + encode(b"ab")[1:],
        "longest-length": large_limit + b"\x00\xff\xff\xff\xff",
    }


def slug(case: str) -> str:
    """A name of a test's case as a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", case).strip("-")


SERVER, CLIENT, NOT_GREETED, ANSWERS = 0, 1, 2, 4
"""The first byte of an input of `fuzz.http2_session`; above, how many commands follow."""
COMMANDS = ("reset", "release", "ping", "message", "end", "announce", "shut-down", "open", "wait")


def cases_of_the_rfc() -> Mapping[str, bytes]:
    """What a client may and may not do, where it takes few bytes."""
    cases = {**{case: make for case, (make, _) in BROKEN.items()}, **ALLOWED}
    found = {
        f"server-{slug(case)}": bytes([SERVER]) + make(FrameFactory())
        for case, make in cases.items()
    }
    return {name: data for name, data in found.items() if len(data) <= MAX_BYTES}


def greetings() -> Mapping[str, bytes]:
    """The first bytes of either side, and of strangers."""
    make = FrameFactory()
    hello = make.preface({3: 100, 4: 70_000}) + make.settings(ack=True)
    server, client = bytes([SERVER | NOT_GREETED]), bytes([CLIENT | NOT_GREETED])
    return {
        "server-greeting": server + hello + make.request(1, end=True),
        "server-greeting-cut": server + PREFACE[:20],
        "server-http1": server + b"GET / HTTP/1.1\r\n\r\n",
        "server-tls": server + b"\x16\x03\x01\x02\x00\x01\x00",
        "server-ping-before-settings": server + PREFACE + make.ping(),
        "client-greeting": client + make.settings({5: 16_384}),
        "client-http1": client + b"HTTP/1.1 400 Bad Request\r\n\r\n",
    }


def calls() -> Mapping[str, bytes]:
    """Calls in either role, and what may come amid them, with an owner that acts or does not."""
    make = FrameFactory()
    call = make.request(1) + make.message(1, b"x") + make.message(1, b"y", end=True)
    flow = FrameFactory()
    shut = flow.settings({4: 0}) + flow.request(1, end=True) + flow.settings({4: 3})
    answer = FrameFactory()
    answered = answer.response(1) + answer.message(1, b"x") + answer.trailers(1)
    of_servers = {
        "call": call,
        "goaway": call + make.goaway(0),
        "settings-flood": make.settings() * 60,
        "shut-window": shut + flow.window_update(1, 9),
        "not-grpc": FrameFactory().request(1, content_type="text/html", end=True),
    }
    of_clients = {
        "answer": answered,
        "informational": FrameFactory().headers(1, [(":status", "100")]),
        "not-found": FrameFactory().headers(1, [(":status", "404")], end=True),
        "push": FrameFactory().push_promise(1, 2),
        "goaway": answered + make.goaway(1, 0, b"bye"),
    }
    found = {}
    for role, frames_of in (("server", of_servers), ("client", of_clients)):
        choices = CLIENT if role == "client" else SERVER
        for name, sent in frames_of.items():
            found[f"{role}-{name}"] = bytes([choices]) + sent
            found[f"{role}-{name}-answered"] = bytes([choices | ANSWERS]) + sent
    for number, name in enumerate(COMMANDS, 1):
        commands = bytes([10 + number] * 8)
        head = ANSWERS | len(commands) << 4
        found[f"server-call-{name}"] = bytes([SERVER | head]) + commands + call
        found[f"client-answer-{name}"] = bytes([CLIENT | head]) + commands + answered
    return found


def http2_session() -> Mapping[str, bytes]:
    """All of these."""
    return {**cases_of_the_rfc(), **greetings(), **calls()}


def line_protocol() -> Mapping[str, bytes]:
    """Every command, right and wrong."""
    one = format_id(ID)
    commands = {
        "define": 'DEFINE Order {"type":"object"}',
        "define-untyped": "DEFINE Order",
        "push": 'PUSH Order {"total": 1.5, "to": ["\\u00e4", null]}',
        "push-bad-json": "PUSH Order {",
        "push-big-integer": "PUSH Order 18446744073709551616",
        "push-infinity": "PUSH Order 1e999",
        "pushb": "PUSHB Order AAEC",
        "pushb-empty": "PUSHB Order",
        "pushb-bad-base64": "PUSHB Order A===",
        "subscribe": "SUBSCRIBE Order 10\r",
        "subscribe-default": "SUBSCRIBE  Order\t",
        "subscribe-too-much": "SUBSCRIBE Order 1000001",
        "unsubscribe": "UNSUBSCRIBE Order",
        "ack": f"ACK {one}",
        "ack-attempt": f"ACK {one}#2",
        "nack": f"NACK {one}#1 2.5",
        "nack-nan": f"NACK {one} nan",
        "nack-hex": f"NACK {one} 0x1p3",
        "reject": f"REJECT {one} no such customer",
        "status": "STATUS",
        "ping": "PING\nPING\n",
        "quit": "QUIT",
        "lower-case": "push Order {}",
        "unknown": "HELLO there",
        "empty": "\n \n\t\r\n",
        "separators": "PING\x1c\nPUSHB\u2028Order\n",
    }
    longest = b"\x03"
    found = {name: longest + text.encode() + b"\n" for name, text in commands.items()}
    found["not-utf8"] = longest + b"PING \xff\xfe\n"
    found["unended"] = longest + b"PING\nQUI"
    found["too-long"] = b"\x02PUSH Order {} and so on\nPING\n"
    found["too-long-unended"] = b"\x02PING\nPUSH Order {} and so on"
    return found


def configuration() -> Mapping[str, bytes]:
    """All keys at their defaults, section by section, and mistakes of each sort."""
    shown = re.sub(r"  # .*", "", describe(Config()))
    tables = shown.strip().split("\n\n")
    sections = {f"section-{table[1 : table.index(']')]}": table for table in tables}
    texts = {
        "empty": "",
        "not-toml": "[node",
        "unknown-section": "[nodes]\nname = 1",
        "unknown-key": "[node]\nnaem = 'a'",
        "no-section": "name = 'left'",
        "section-no-table": "node = 1",
        "wrong-types": "[node]\nname = 1\nlisten = 'a'\ndrain_timeout_s = 1979-05-27",
        "out-of-bounds": "[routing]\nretry_base_s = -inf\nretry_cap_s = nan\nmax_hops = 65",
        "cross-check": "[peers]\nbackoff_min_s = 5.0\nbackoff_max_s = 1",
        "object-above-memory": "[limits]\nmax_object_bytes = 4194304\nmemory_bytes = 0x100000",
        "names": "[node]\nname = 'a.b-c_1'\ndata_dir = '/tmp/\u00e4 \"b\"'",
        "addresses": "[node]\nlisten = ['[::1]:0', 'localhost:7400']\nadvertise = 'example:1'",
        "dotted-and-inline": "node.name = 'a'\npeers = {addresses = ['a:1'], discovery = false}",
        "variables": "\0NODE__NAME=left\0PEERS__ADDRESSES=a:1, b:2\0TYPES__STRICT=True",
        "variables-wrong": "\0PEERS__DISCOVERY=maybe\0LIMITS__MEMORY_BYTES=1.5\0TRIONODE_CONF_X=1",
        "variable-over-file": "[node]\nname = 'left'\0NODE__NAME=right",
        "state-directory": "\0STATE_DIRECTORY=/var/lib/trionode:/x",
        "state-directory-wrong": "\0STATE_DIRECTORY=/a\nb",
    }
    return {
        **{name: text.encode() for name, text in {**sections, **texts}.items()},
        "not-utf8": b'[node]\nname = "\xff"',
        "variable-not-utf8": b"\0NODE__NAME=\xff",
    }


def main() -> None:
    """Write every seed."""
    for make in (message_parser, frame_codecs, http2_session, line_protocol, configuration):
        folder = CORPUS / make.__name__
        folder.mkdir(parents=True, exist_ok=True)
        seeds = make()
        for name, data in seeds.items():
            (folder / name).write_bytes(data)
        print(f"{make.__name__}: {len(seeds)} seeds")


if __name__ == "__main__":
    main()
