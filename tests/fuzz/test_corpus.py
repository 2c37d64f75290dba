"""What the fuzzer was given and what it once found, as ordinary tests; every target can fail."""

from __future__ import annotations

import pytest

import fuzz
from fuzz import seeds
from trionode.cli import lines
from trionode.config import loading
from trionode.errors import Refused, Status
from trionode.wire import codec, grpc, messages, scanner, session

INPUTS = [(target, path) for target in fuzz.TARGETS for path in fuzz.corpus(target)]


@pytest.mark.parametrize(
    ("target", "path"), INPUTS, ids=[f"{target}-{path.name}" for target, path in INPUTS]
)
def test_every_input_of_the_corpus_holds_to_its_invariant(target, path):
    fuzz.load(target).check(path.read_bytes())


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_every_target_states_its_invariant_and_has_a_corpus(target):
    module = fuzz.load(target)
    assert module.__doc__.partition("\n")[0].endswith(".")
    sizes = [path.stat().st_size for path in fuzz.corpus(target)]
    assert len(sizes) > 10
    assert max(sizes) <= module.MAX_BYTES
    module.check(b"")


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_the_seeds_are_what_the_code_makes_today(target):
    folder = fuzz.CORPUS / target
    for name, data in getattr(seeds, target)().items():
        assert (folder / name).read_bytes() == data, name


def test_there_is_a_seed_of_every_kind_of_frame():
    assert {type(frame) for frame in seeds.FRAMES} == set(codec.KIND_OF)


# --- a target that cannot fail is a defect ----------------------------------------------------


def broken_by(target: str) -> int:
    """How many inputs of the corpus break the target's invariant now."""
    check, broken = fuzz.load(target).check, 0
    for path in fuzz.corpus(target):
        try:
            check(path.read_bytes())
        except AssertionError:
            broken += 1
    return broken


def test_a_parser_that_forgets_a_cut_prefix_breaks_message_parser(monkeypatch):
    class Forgetful(messages.MessageParser):
        def feed(self, data):
            if len(data) < 3:
                self._pieces.clear()
                self._have_bytes = 0
            return super().feed(data)

    monkeypatch.setattr(fuzz.load("message_parser"), "MessageParser", Forgetful)
    assert broken_by("message_parser")


def test_a_parser_that_knows_no_limit_breaks_message_parser(monkeypatch):
    class Boundless(messages.MessageParser):
        def __init__(self, _limit, encoding):
            super().__init__(2**32, encoding)

    monkeypatch.setattr(fuzz.load("message_parser"), "MessageParser", Boundless)
    assert broken_by("message_parser")


def test_another_kind_of_error_breaks_frame_codecs(monkeypatch):
    def refuse(_frame):
        raise Refused(Status.INVALID_ARGUMENT, "no")

    monkeypatch.setattr(codec, "CHECKS", dict.fromkeys(codec.KIND_OF, refuse))
    assert broken_by("frame_codecs") == len(codec.KIND_OF)


def test_a_frame_that_changes_on_its_way_breaks_frame_codecs(monkeypatch):
    class Changing(codec.MessagePackCodec):
        def encode(self, frame):
            if type(frame).__name__ == "Pushed":
                frame = type(frame)([*frame.sequences, (1, 1)])
            return super().encode(frame)

    monkeypatch.setattr(fuzz.load("frame_codecs"), "CODECS", {"x": Changing()})
    assert broken_by("frame_codecs") == 1


def test_a_scanner_that_depends_on_the_cut_breaks_http2_session(monkeypatch):
    feed = scanner.FrameScanner.feed
    monkeypatch.setattr(
        scanner.FrameScanner, "feed", lambda self, data: feed(self, data) if len(data) > 1 else []
    )
    assert broken_by("http2_session")


def test_a_session_that_lets_h2s_errors_out_breaks_http2_session(monkeypatch):
    monkeypatch.setattr(session.h2.exceptions, "ProtocolError", KeyError)
    assert broken_by("http2_session")


def test_output_after_a_goaway_breaks_http2_session(monkeypatch):
    fail = session.Session.fail

    def go_on(self, code, text):
        fail(self, code, text)
        self._append(b"\0\0\0\4\1\0\0\0\0")  # a SETTINGS ACK

    monkeypatch.setattr(session.Session, "fail", go_on)
    assert broken_by("http2_session")


def test_reading_a_request_that_may_raise_breaks_http2_session(monkeypatch):
    monkeypatch.setattr(grpc, "read_request", lambda headers: dict(headers)[b"missing"])
    assert broken_by("http2_session")


def test_data_beyond_a_window_breaks_http2_session(monkeypatch):
    monkeypatch.setattr(session.Session, "send_window", lambda _self, _stream_id: 100_000)
    monkeypatch.setattr(session.Session, "connection_window", 100_000)
    assert broken_by("http2_session")


def test_lines_that_depend_on_the_cut_break_line_protocol(monkeypatch):
    class Hasty(lines.LineSplitter):
        def feed(self, chunk):
            return super().feed(chunk.strip(b" "))

    monkeypatch.setattr(fuzz.load("line_protocol"), "LineSplitter", Hasty)
    assert broken_by("line_protocol")


def test_an_error_of_the_json_parser_breaks_line_protocol(monkeypatch):
    def refuse(_payload):
        raise TypeError("not a BadLine")

    monkeypatch.setattr(lines, "check_json", refuse)
    assert broken_by("line_protocol")


def test_another_kind_of_error_breaks_configuration(monkeypatch):
    monkeypatch.setattr(loading, "UNFIT", (KeyError,))
    assert broken_by("configuration")


def test_a_description_that_loads_to_something_else_breaks_configuration(monkeypatch):
    module = fuzz.load("configuration")
    monkeypatch.setattr(module, "describe", lambda _config: "")
    assert broken_by("configuration")
