"""An h2 connection with what it advertises really in force, and HTTP/2's error codes by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import h2.config
import h2.connection
import h2.errors
import h2.frame_buffer
import h2.settings

from trionode.wire.header_blocks import BlockDecoder, BlockEncoder

if TYPE_CHECKING:
    from hyperframe.frame import Frame

_DEFAULT_WINDOW_BYTES = 65_535
_STREAMS_SLACK = 100
"""Streams that a peer may have opened before it saw the limit; above, h2 ends the connection."""


@attrs.frozen
class SessionLimits:
    """What is advertised to the peer and held in force."""

    stream_window_bytes: int
    connection_window_bytes: int
    max_frame_bytes: int
    max_concurrent_streams: int
    max_header_list_bytes: int
    answer_timeout_s: float
    """How long the peer may take for a header block or to acknowledge SETTINGS."""


class _Frames(h2.frame_buffer.FrameBuffer):
    """Received frames whose content has no text form.

    For a log that it does not keep, h2 writes each frame that comes as hexadecimal digits, which
    takes longer than all else that it does with a large one.
    """

    def __next__(self) -> Frame:
        frame: Frame = super().__next__()
        frame._body_repr = _no_text  # type: ignore[method-assign]  # noqa: SLF001  # no other way in
        return frame


def _no_text() -> str:
    return ""


def code_name(code: int) -> str:
    """The name of an HTTP/2 error code (RFC 9113 section 7), or its number."""
    try:
        return h2.errors.ErrorCodes(code).name
    except ValueError:
        return f"code {code}"


def new_h2(limits: SessionLimits, *, client: bool) -> h2.connection.H2Connection:
    """An h2 connection whose preface is in its output and whose settings are all in force."""
    codes = h2.settings.SettingCodes
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(
            client_side=client,
            header_encoding=None,
            # What goes out is checked in trionode.wire.grpc before h2 and HPACK see any of it.
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            # What comes in, in trionode.wire.session, by h2's own rules.
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
    )
    connection.incoming_buffer = _Frames(server=not client)
    connection.decoder, connection.encoder = BlockDecoder(), BlockEncoder()
    values = {
        codes.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
        codes.MAX_FRAME_SIZE: limits.max_frame_bytes,
        codes.MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
        codes.ENABLE_PUSH: 0,
    }
    if not client:
        values[codes.MAX_CONCURRENT_STREAMS] = limits.max_concurrent_streams
    connection.local_settings = h2.settings.Settings(client=client, initial_values=values)
    connection.initiate_connection()
    if not client:
        values[codes.MAX_CONCURRENT_STREAMS] = limits.max_concurrent_streams * 2 + _STREAMS_SLACK
        connection.local_settings = h2.settings.Settings(client=False, initial_values=values)
    # The settings object advertises these, but h2 and HPACK read fields of their own.
    connection.max_inbound_frame_size = limits.max_frame_bytes
    connection.decoder.max_header_list_size = limits.max_header_list_bytes
    # SETTINGS say nothing of the connection's window, which starts at the protocol's default.
    extra_bytes = limits.connection_window_bytes - _DEFAULT_WINDOW_BYTES
    if extra_bytes > 0:
        connection.increment_flow_control_window(extra_bytes)
    return connection
