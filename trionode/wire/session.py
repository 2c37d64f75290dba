"""One HTTP/2 connection without its socket: bytes in, events out; commands in, bytes out.

Theory of operation. h2 keeps the protocol's state; this class keeps h2 from harm. What comes in
passes the frame scanner first (lengths, header blocks, floods, GOAWAY). Three things are done
around h2 rather than with it. GOAWAY, either way, closes an h2 connection at once, so ours is
written by hyperframe and the peer's is an event that h2 never sees. Too many streams would be a
connection error in h2, so it is told a higher limit than the peer, and streams above the true one
are refused. Settings that h2 reads from fields of its own are set there too, so that what is
advertised is in force from the first frame.

A stream is *owned* from its first event (server) or `open_stream` (client) to `release`; only owned
streams yield events, and the bytes of others are acknowledged here. The server's limit is on owned
streams, so a peer that resets its streams frees no slot before the handlers have ended.

Commands on a stream that is gone do nothing: h2 may have seen the end of a stream that the owner
is still to read about. The owner passes `now`, seconds of any monotonic clock.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import h2.connection
import h2.events
import h2.exceptions
from hyperframe.frame import GoAwayFrame

from trionode.errors import ProtocolError
from trionode.wire import budgets, header_blocks
from trionode.wire import scanner as scanning
from trionode.wire import session_events as happened
from trionode.wire.h2_setup import SessionLimits, new_h2

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.wire.grpc import Headers

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
SETTINGS_TIMEOUT = 0x4
REFUSED_STREAM = 0x7
CANCEL = 0x8
ENHANCE_YOUR_CALM = budgets.ENHANCE_YOUR_CALM
LAST_STREAM_ID = 2**31 - 1

_ENCODER_TABLE_BYTES = 4096
"""The most HPACK state kept for sending, whatever the peer offers."""
_DEBUG_BYTES_MAX = 512
_ADDRESS = re.compile(r":? ?<[^<>]* at 0x[0-9a-f]+>")
"""What HPACK puts into some errors: where things lie in our memory is nobody else's business."""
_HEADER_BLOCK_FACTOR = 2
"""Encoded header blocks may be longer than the decoded limit by so much before they are decoded:
an honest peer's are shorter, a dishonest one's are not worth more memory."""


class Session:
    """The state of one HTTP/2 connection in the client or the server role."""

    def __init__(self, limits: SessionLimits, *, client: bool, now: float) -> None:
        self._limits = limits
        self._client = client
        self._now = now
        self._started_at = now
        self._h2 = new_h2(limits, client=client)
        self._scanner = scanning.FrameScanner(
            scanning.FrameLimits(
                limits.max_frame_bytes, limits.max_header_list_bytes * _HEADER_BLOCK_FACTOR
            ),
            server=not client,
            on_frame=self._see_frame,
        )
        self._resets = budgets.Budget("resets of streams", budgets.RESETS, now)
        self._idle_frames = budgets.Budget("frames that carry nothing", budgets.IDLE_FRAMES, now)
        self._settings = budgets.Budget("SETTINGS", budgets.SETTINGS, now)
        self._owned: set[int] = set()
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._events: list[happened.Event] = []
        self._block_since: float | None = None
        self._refuse_above = LAST_STREAM_ID
        self._settings_acknowledged = False
        self._dispatch: dict[type[h2.events.Event], Callable[..., None]] = {
            h2.events.RequestReceived: self._on_request,
            h2.events.ResponseReceived: self._on_response,
            h2.events.InformationalResponseReceived: self._on_informational,
            h2.events.TrailersReceived: self._on_trailers,
            h2.events.DataReceived: self._on_data,
            h2.events.StreamEnded: self._on_ended,
            h2.events.StreamReset: self._on_reset,
            h2.events.WindowUpdated: self._on_window,
            h2.events.RemoteSettingsChanged: self._on_settings,
            h2.events.SettingsAcknowledged: self._on_settings_acknowledged,
            h2.events.PingAckReceived: self._on_ping_answered,
        }
        self.ready = False
        """Whether the peer's SETTINGS have come."""
        self.broken = False
        """Whether the connection can carry nothing more; commands do nothing then."""
        self._collect()

    # --- what comes in ------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[happened.Event]:
        """Take bytes from the peer and give what happened, in order.

        Raises:
            ProtocolError: the connection is over; the GOAWAY that says why is in the output.
        """
        self._now = now
        self._collect()
        events = self._events = []
        try:
            for run in self._scanner.feed(data):
                if isinstance(run, happened.PeerGoingAway):
                    events.append(run)
                    continue
                for event in self._h2.receive_data(run):
                    handler = self._dispatch.get(type(event))
                    if handler is not None:
                        handler(event)
        except ProtocolError as error:
            self.fail(error.h2_code, str(error))
            raise
        except h2.exceptions.ProtocolError as error:
            code, text = int(error.error_code), _ADDRESS.sub("", str(error))
            self.fail(code, text)
            raise ProtocolError(f"HTTP/2: {text}", h2_code=code) from error
        if not self._scanner.in_header_block:
            self._block_since = None
        elif self._block_since is None:
            self._block_since = now
        self._collect()
        return events

    def check(self, now: float) -> None:
        """Notice what did not come in time; to be called every second or so.

        Raises:
            ProtocolError: the connection is over; the GOAWAY that says why is in the output.
        """
        timeout_s = self._limits.answer_timeout_s
        if self._block_since is not None and now - self._block_since > timeout_s:
            text, code = "a header block was not ended in time", PROTOCOL_ERROR
        elif not self._settings_acknowledged and now - self._started_at > timeout_s:
            text, code = "SETTINGS were not acknowledged in time", SETTINGS_TIMEOUT
        else:
            return
        self.fail(code, text)
        raise ProtocolError(text, h2_code=code)

    def _see_frame(self, kind: int, flags: int, length: int, stream_id: int) -> None:
        """Charge a frame to the budgets as its header is seen."""
        if kind == scanning.DATA:
            if (length or flags & scanning.END_STREAM) and not self._is_gone(stream_id):
                return
        elif kind == scanning.HEADERS:
            if not self._is_gone(stream_id):
                return
        elif kind == scanning.CONTINUATION:
            return
        elif kind == scanning.RST_STREAM:
            if not self._client:
                self._resets.spend(self._now)
            return
        elif kind == scanning.SETTINGS and not flags & scanning.ACK:
            self._settings.spend(self._now)
        self._idle_frames.spend(self._now)

    def _is_gone(self, stream_id: int) -> bool:
        """Whether nobody here owns the stream any more: h2 answers each frame with a reset."""
        h2 = self._h2
        known = h2.highest_outbound_stream_id if self._client else h2.highest_inbound_stream_id
        return stream_id <= known and stream_id not in self._owned

    def _on_request(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        headers = header_blocks.allowed(event.headers, header_blocks.REQUEST)
        if (
            stream_id > self._refuse_above
            or len(self._owned) >= self._limits.max_concurrent_streams
        ):
            self._resets.spend(self._now)
            self.reset(stream_id, REFUSED_STREAM)
            return
        self._idle_frames.earn(budgets.FRAMES_PER_PROGRESS)
        self._owned.add(stream_id)
        self._events.append(happened.HeadersArrived(stream_id, headers))

    def _on_response(self, event: h2.events.ResponseReceived) -> None:
        headers = header_blocks.allowed(event.headers, header_blocks.RESPONSE)
        if event.stream_id in self._owned:
            self._idle_frames.earn(budgets.FRAMES_PER_PROGRESS)
            self._events.append(happened.HeadersArrived(event.stream_id, headers))

    def _on_informational(self, event: h2.events.InformationalResponseReceived) -> None:
        header_blocks.allowed(event.headers, header_blocks.RESPONSE)
        # A server may send any number of these, and gRPC has no use for one.
        self._idle_frames.spend(self._now)

    def _on_trailers(self, event: h2.events.TrailersReceived) -> None:
        blocks = header_blocks
        flags = blocks.RESPONSE_TRAILERS if self._client else blocks.REQUEST_TRAILERS
        headers = blocks.allowed(event.headers, flags)
        if event.stream_id in self._owned:
            self._events.append(happened.TrailersArrived(event.stream_id, headers))

    def _on_data(self, event: h2.events.DataReceived) -> None:
        stream_id, flow_bytes = event.stream_id, event.flow_controlled_length
        if flow_bytes and not event.data:
            # Nothing but padding: its frame looked as if it carried something.
            self._idle_frames.spend(self._now)
        if stream_id not in self._owned:
            self.acknowledge(stream_id, flow_bytes)
            return
        if event.data:
            self._idle_frames.earn(budgets.FRAMES_PER_PROGRESS)
        self._events.append(happened.DataArrived(stream_id, event.data, flow_bytes))

    def _on_ended(self, event: h2.events.StreamEnded) -> None:
        if event.stream_id in self._owned:
            self._events.append(happened.StreamEnded(event.stream_id))

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        by_peer = event.remote_reset
        if not by_peer and not self._client:
            self._resets.spend(self._now)
        if event.stream_id in self._owned:
            self._events.append(
                happened.StreamReset(event.stream_id, int(event.error_code), by_peer)
            )

    def _on_window(self, event: h2.events.WindowUpdated) -> None:
        self._events.append(happened.WindowOpened(event.stream_id))

    def _on_settings(self, _event: h2.events.RemoteSettingsChanged) -> None:
        encoder = self._h2.encoder
        encoder.header_table_size = min(encoder.header_table_size, _ENCODER_TABLE_BYTES)
        self._events.append(happened.LimitsChanged())
        if not self.ready:
            self.ready = True
            self._events.append(happened.Ready())

    def _on_settings_acknowledged(self, _event: h2.events.SettingsAcknowledged) -> None:
        self._settings_acknowledged = True

    def _on_ping_answered(self, event: h2.events.PingAckReceived) -> None:
        self._events.append(happened.PingAnswered(event.ping_data))

    # --- streams ------------------------------------------------------------------------------

    @property
    def free_slots(self) -> int:
        """How many more streams may be opened now (client)."""
        return self._h2.remote_settings.max_concurrent_streams - len(self._owned)

    def open_stream(self, headers: Headers, *, end: bool = False) -> int | None:
        """Open a stream with these headers (client); None when the ids are used up.

        `free_slots` must be positive.
        """
        try:
            stream_id = self._h2.get_next_available_stream_id()
        except h2.exceptions.NoAvailableStreamIDError:
            return None
        self._owned.add(stream_id)
        self._send_headers(stream_id, headers, end=end)
        return stream_id

    def is_open(self, stream_id: int) -> bool:
        """Whether the stream can still carry something either way."""
        stream = self._h2.streams.get(stream_id)
        return stream is not None and stream.open and not self.broken

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        """Send response headers or trailers; they must have been checked before."""
        if self.is_open(stream_id):
            self._send_headers(stream_id, headers, end=end)

    def _send_headers(self, stream_id: int, headers: Headers, *, end: bool) -> None:
        try:
            self._h2.send_headers(stream_id, headers, end_stream=end)
        except Exception:
            # HPACK may have taken in half of the headers: nothing after them would be understood.
            self.broken = True
            raise
        self._idle_frames.earn(budgets.FRAMES_PER_PROGRESS)

    def send_window(self, stream_id: int) -> int:
        """How many bytes the next DATA frame of a stream may have; 0 or less for none."""
        if not self.is_open(stream_id):
            return 0
        # The window may be negative after a SETTINGS that shrank it (RFC 9113 section 6.9.2).
        return min(
            self._h2.local_flow_control_window(stream_id),
            self._h2.max_outbound_frame_size,
            self._limits.max_frame_bytes,
        )

    @property
    def connection_window(self) -> int:
        """How many bytes of DATA all streams together may send now."""
        return self._h2.outbound_flow_control_window

    def send_data(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Send one DATA frame, at most `send_window` bytes; empty only to end the stream."""
        if self.is_open(stream_id):
            self._h2.send_data(stream_id, data, end_stream=end)
            self._idle_frames.earn(
                budgets.FRAMES_PER_PROGRESS + len(data) / budgets.SENT_BYTES_PER_FRAME
            )

    def acknowledge(self, stream_id: int, flow_bytes: int) -> bool:
        """Give bytes that came in `DataArrived` back to the peer's windows; whether to say so now.

        h2 says it once half of a window is used.
        """
        if flow_bytes and not self.broken:
            self._h2.acknowledge_received_data(flow_bytes, stream_id)
        return self.output_bytes > 0

    def keep_open(self) -> None:
        """Widen the connection's window again where calls that are not read have taken most of it.

        What they may leave unread is bounded by their own windows; the connection's is for those
        that are read. When these bytes are read at last, h2 gives back no more than the whole.
        """
        window_bytes = self._h2.inbound_flow_control_window
        whole_bytes = self._limits.connection_window_bytes
        if window_bytes <= whole_bytes // 4 and not self.broken:
            self._h2.increment_flow_control_window(whole_bytes - window_bytes)

    def reset(self, stream_id: int, code: int) -> None:
        """End a stream at once."""
        if self.is_open(stream_id):
            self._h2.reset_stream(stream_id, code)

    def release(self, stream_id: int, *, completed: bool) -> None:
        """Give up a stream: its slot is free, its events end; `completed`: it ran to its end."""
        self._owned.discard(stream_id)
        if completed:
            self._resets.earn(budgets.RESETS_PER_CALL)
        self.reset(stream_id, CANCEL)

    # --- the connection -----------------------------------------------------------------------

    def ping(self, payload: bytes) -> None:
        """Send a PING with eight bytes; `PingAnswered` brings them back."""
        if not self.broken:
            self._h2.ping(payload)

    def announce_shutdown(self) -> None:
        """Send the first of two GOAWAYs: no new streams, please; those on their way still count."""
        self._go_away(LAST_STREAM_ID, NO_ERROR, b"")

    def shut_down(self) -> None:
        """Send the second GOAWAY, with the true last stream; newer ones are refused from now on."""
        self._refuse_above = self._h2.highest_inbound_stream_id
        self._go_away(self._refuse_above, NO_ERROR, b"")

    def fail(self, code: int, text: str) -> None:
        """End the connection with an error: a GOAWAY that says why, and nothing after it."""
        if self.broken:
            return
        self._go_away(self._h2.highest_inbound_stream_id, code, text.encode("utf-8", "replace"))
        self.broken = True

    def _go_away(self, last_stream_id: int, code: int, debug: bytes) -> None:
        if self.broken:
            return
        if self._h2.state_machine.state is h2.connection.ConnectionState.CLOSED:
            # h2 gave up by itself and queued a GOAWAY that does not say why.
            self._h2.clear_outbound_data_buffer()
        self._collect()
        frame = GoAwayFrame(0, last_stream_id, code, debug[:_DEBUG_BYTES_MAX])
        self._append(frame.serialize())

    # --- what goes out ------------------------------------------------------------------------

    @property
    def output_bytes(self) -> int:
        """How much output waits to be taken."""
        self._collect()
        return self._output_bytes

    def take_output(self) -> bytes:
        """All bytes that are to be written now; they must be written, in order, or none after."""
        self._collect()
        output = self._output
        data = output[0] if len(output) == 1 else b"".join(output)
        self._output = []
        self._output_bytes = 0
        return data

    def _collect(self) -> None:
        """Move what h2 has to send to the output, where its size is known."""
        if not self.broken:
            self._append(self._h2.data_to_send())

    def _append(self, data: bytes) -> None:
        if data:
            self._output.append(data)
            self._output_bytes += len(data)
