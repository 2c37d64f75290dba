"""gRPC's headers: what is accepted, what is refused and how, and texts that survive the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.errors import Status
from trionode.wire import grpc


def request(**changes: str) -> grpc.Request | grpc.Rejection:
    fields = {
        ":path": "/a/b",
        ":method": "POST",
        ":scheme": "http",
        "content-type": "application/grpc",
        **changes,
    }
    return grpc.read_request([(name.encode(), value.encode()) for name, value in fields.items()])


def test_a_request_is_read_with_pseudo_headers_in_any_order():
    read = grpc.read_request(
        [
            (b":path", b"/svc/Do"),
            (b"content-type", b"application/grpc+msgpack"),
            (b":method", b"POST"),
            (b"x-a", b"1"),
            (b"x-a", b"2"),
            (b"grpc-timeout", b"5010m"),
            (b"grpc-encoding", b"gzip"),
        ]
    )
    assert isinstance(read, grpc.Request)
    assert (read.path, read.encoding, read.timeout_s) == ("/svc/Do", "gzip", 5.01)
    assert read.metadata["x-a"] == "1,2"
    assert read.content_type == "application/grpc+msgpack"


@pytest.mark.parametrize(
    "content_type", ["application/grpc", "application/grpc+proto", "application/grpc; x=1"]
)
def test_grpc_content_types_are_taken(content_type):
    assert isinstance(request(**{"content-type": content_type}), grpc.Request)


@pytest.mark.parametrize(
    "content_type",
    ["", "application/grpc-web", "application/grpc-web+proto", "text/html", "application/grpcx"],
)
def test_other_content_types_are_answered_415(content_type):
    rejection = request(**{"content-type": content_type})
    assert isinstance(rejection, grpc.Rejection)
    assert (b":status", b"415") in grpc.rejection_headers(rejection)


def test_other_methods_are_answered_405():
    rejection = request(**{":method": "GET"})
    assert isinstance(rejection, grpc.Rejection)
    assert (b":status", b"405") in grpc.rejection_headers(rejection)


@pytest.mark.parametrize("path", ["/", "/a", "a/b", "/a/b/c", "//", "", "*"])
def test_a_path_that_names_no_method_is_unimplemented_in_one_header_block(path):
    rejection = request(**{":path": path})
    assert isinstance(rejection, grpc.Rejection)
    headers = dict(grpc.rejection_headers(rejection))
    assert headers[b":status"] == b"200"
    assert headers[b"grpc-status"] == b"12"
    assert headers[b"content-type"].startswith(b"application/grpc")


@pytest.mark.parametrize("text", ["", "5", "S", "123456789S", "5s", "-1S", "1.5S", "٣S"])
def test_a_wrong_timeout_is_refused(text):
    rejection = request(**{"grpc-timeout": text})
    assert isinstance(rejection, grpc.Rejection)
    assert rejection.status is Status.INTERNAL


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("4m", 0.004), ("5u", 5e-6), ("6n", 6e-9), ("0S", 0)],
)
def test_every_unit_of_a_timeout_is_read(text, seconds):
    assert grpc.parse_timeout(text) == pytest.approx(seconds)


@given(st.floats(0, 1e9))
def test_a_timeout_survives_its_text_form(timeout_s):
    text = grpc.format_timeout(timeout_s)
    assert len(text) <= 9
    assert grpc.parse_timeout(text) == pytest.approx(timeout_s, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("timeout_s", "text"),
    [
        (0, "0n"),
        (0.05, "50000000n"),
        (10, "10000000u"),
        (5000, "5000000m"),
        (2e5, "200000S"),
        (6e9, "1666667H"),
        (3e9, "50000000M"),
        (-1, "0n"),
    ],
)
def test_a_timeout_is_written_in_the_finest_unit_that_holds_it(timeout_s, text):
    assert grpc.format_timeout(timeout_s) == text


def test_a_timeout_beyond_all_units_is_the_longest_there_is():
    assert grpc.format_timeout(1e15) == "99999999H"


@given(st.text(max_size=200))
def test_a_status_message_survives_and_is_printable_ascii_on_the_way(text):
    sent = grpc.encode_message(text)
    assert all(0x20 <= byte <= 0x7E for byte in sent)
    assert sent == sent.strip()
    assert grpc.decode_message(sent) == text.encode("utf-8", "replace").decode()


def test_spaces_around_a_status_message_are_not_lost():
    assert grpc.encode_message(" a b ") == b"%20a b%20"


def test_a_status_message_is_cut_before_it_breaks_a_header_limit():
    assert len(grpc.encode_message("é" * 100_000)) <= 3 * 2048


@given(st.binary(max_size=100))
def test_decoding_a_status_message_never_fails(value):
    assert isinstance(grpc.decode_message(value), str)


def test_trailers_always_have_a_status_even_when_all_is_well():
    assert grpc.trailers(grpc.Outcome(Status.OK)) == [(b"grpc-status", b"0")]


def test_a_refusal_with_hint_survives():
    sent = grpc.trailers(grpc.Outcome(Status.NOT_FOUND, "no such — type", "define it first"))
    assert grpc.read_outcome(sent, 200) == grpc.Outcome(
        Status.NOT_FOUND, "no such — type", "define it first"
    )


@pytest.mark.parametrize(
    ("http_status", "status"),
    [
        (400, Status.INTERNAL),
        (401, Status.UNAUTHENTICATED),
        (403, Status.PERMISSION_DENIED),
        (404, Status.UNIMPLEMENTED),
        (429, Status.UNAVAILABLE),
        (502, Status.UNAVAILABLE),
        (503, Status.UNAVAILABLE),
        (504, Status.UNAVAILABLE),
        (200, Status.UNKNOWN),
        (500, Status.UNKNOWN),
    ],
)
def test_an_http_status_without_a_grpc_one_is_mapped(http_status, status):
    assert grpc.read_outcome([], http_status).status is status


@pytest.mark.parametrize("text", [b"99", b"x", b"", b"-1", b"\xb2"])
def test_a_status_that_does_not_exist_is_unknown_and_shown(text):
    outcome = grpc.read_outcome([(b"grpc-status", text), (b"grpc-message", b"m")], 200)
    assert outcome.status is Status.UNKNOWN
    assert repr(text.decode("latin-1")) in outcome.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Upper", "x"),
        ("a b", "x"),
        ("a\nb", "x"),
        ("", "x"),
        (":path", "x"),
        ("grpc-status", "0"),
        ("te", "x"),
        ("content-type", "x"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\x00b"),
        ("x", "é"),
        ("x", " a"),
        ("x", "a "),
    ],
)
def test_metadata_that_would_spoil_the_connection_is_refused(name, value):
    with pytest.raises(ValueError, match=r"metadata"):
        grpc.request_headers("/a/b", "node", [(name, value)], None)


@pytest.mark.parametrize("path", ["a", "/a", "/a/b/c", "/a/\n", "/a/é"])
def test_a_path_that_is_none_is_not_sent(path):
    with pytest.raises(ValueError, match="not a gRPC path"):
        grpc.request_headers(path, "node", [], None)


def test_an_authority_with_control_characters_is_not_sent():
    with pytest.raises(ValueError, match="not an authority"):
        grpc.request_headers("/a/b", "no\nde", [], None)


@pytest.mark.parametrize(("value", "status"), [(b"200", 200), (b"abc", 0)])
def test_the_http_status_is_read_or_zero(value, status):
    assert grpc.read_http_status([(b":status", value)]) == status


def test_no_http_status_is_zero():
    assert grpc.read_http_status([(b"x", b"200")]) == 0
