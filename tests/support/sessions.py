"""Sessions with easy limits, alone against made-up frames or joined as a pair."""

from __future__ import annotations

from hyperframe.frame import Frame, GoAwayFrame

from tests.support.frames import FrameFactory, of_kind
from trionode.wire.h2_setup import SessionLimits
from trionode.wire.session import Session


def limits(**changes) -> SessionLimits:
    values = {
        "stream_window_bytes": 100_000,
        "connection_window_bytes": 400_000,
        "max_frame_bytes": 32_768,
        "max_concurrent_streams": 10,
        "max_header_list_bytes": 8192,
        "answer_timeout_s": 10.0,
    }
    return SessionLimits(**{**values, **changes})


class Lone:
    """One session whose peer is a frame factory."""

    def __init__(self, *, client: bool = False, settings: dict[int, int] | None = None, **changes):
        self.session = Session(limits(**changes), client=client, now=0.0)
        self.frames = FrameFactory()
        self.client = client
        self.settings = settings
        self.now = 0.0
        self.greeting = self.sent()

    def greet(self) -> Lone:
        """Complete the handshake and forget what was sent for it."""
        hello = self.frames.preface(self.settings, client=not self.client)
        self.events = self.receive(hello + self.frames.settings(ack=True))
        self.sent()
        return self

    def receive(self, data: bytes) -> list:
        return self.session.receive(data, self.now)

    def sent(self) -> list[Frame]:
        return self.frames.read(self.session.take_output())

    def goaway(self) -> GoAwayFrame:
        """The one GOAWAY among what is sent."""
        (frame,) = of_kind(self.sent(), GoAwayFrame)
        return frame


class Pair:
    """A client's and a server's session with a perfect link between."""

    def __init__(self, **changes) -> None:
        self.client = Session(limits(**changes), client=True, now=0.0)
        self.server = Session(limits(**changes), client=False, now=0.0)
        self.to_client: list = []
        self.to_server: list = []
        self.pump()

    def pump(self) -> None:
        """Carry bytes both ways until neither side has any."""
        while self.client.output_bytes or self.server.output_bytes or self._flush():
            self.to_server += self.server.receive(self.client.take_output(), 0.0)
            self.to_client += self.client.receive(self.server.take_output(), 0.0)

    def _flush(self) -> bool:
        self.client._collect()
        self.server._collect()
        return bool(self.client.output_bytes or self.server.output_bytes)

    def take(self) -> tuple[list, list]:
        """What happened at the client and at the server since the last time."""
        taken = self.to_client, self.to_server
        self.to_client, self.to_server = [], []
        return taken
