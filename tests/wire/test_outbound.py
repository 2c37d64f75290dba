"""Queues become frames in turn, as far as the windows allow, and every byte arrives in order."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.wire.messages import MessageParser
from trionode.wire.outbound import SendQueue, SendScheduler

HEADERS = [(b":status", b"200")]
TRAILERS = [(b"grpc-status", b"0")]
MESSAGE = 5


class FakeSession:
    """Notes what is sent; windows are what the test says."""

    def __init__(self, frame_bytes: int = 100) -> None:
        self.connection_window = 10**9
        self.windows: dict[int, int] = {}
        self.frame_bytes = frame_bytes
        self.sent: list[tuple] = []

    def send_window(self, stream_id: int) -> int:
        window = self.windows.get(stream_id, 10**9)
        return min(window, self.connection_window, self.frame_bytes)

    def send_data(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        assert len(data) <= max(self.send_window(stream_id), 0)
        self.connection_window -= len(data)
        if stream_id in self.windows:
            self.windows[stream_id] -= len(data)
        self.sent.append(("data", stream_id, data, end))

    def send_headers(self, stream_id: int, headers: list, *, end: bool = False) -> None:
        self.sent.append(("headers", stream_id, headers, end))

    def order(self) -> list[int]:
        return [entry[1] for entry in self.sent]


class Rig:
    def __init__(self, frame_bytes: int = 100) -> None:
        self.session = FakeSession(frame_bytes)
        self.scheduler = SendScheduler(self.session)
        self.queues: dict[int, SendQueue] = {}

    def queue(self, stream_id: int, headers=None) -> SendQueue:
        queue = self.queues[stream_id] = SendQueue(stream_id, headers)
        self.scheduler.add(queue)
        return queue

    def send(self, stream_id: int, *sizes: int) -> None:
        for size in sizes:
            self.queues[stream_id].add(b"x" * (size - MESSAGE))
        self.scheduler.wake(self.queues[stream_id])

    def end(self, stream_id: int, trailers=None) -> None:
        self.queues[stream_id].end(trailers)
        self.scheduler.wake(self.queues[stream_id])

    def fill(self, limit_bytes: int = 10**9) -> list[int]:
        return [queue.stream_id for queue in self.scheduler.fill(limit_bytes)]


def test_small_messages_of_a_call_share_one_frame():
    rig = Rig()
    rig.queue(1)
    rig.send(1, 20, 20, 20)
    assert rig.fill() == [1]
    assert [(len(entry[2]), entry[3]) for entry in rig.session.sent] == [(60, False)]


def test_calls_take_turns_frame_by_frame():
    rig = Rig()
    for stream_id in (1, 3, 5):
        rig.queue(stream_id)
        rig.send(stream_id, 250)
    rig.fill()
    assert rig.session.order() == [1, 3, 5, 1, 3, 5, 1, 3, 5]


def test_a_fill_stops_at_its_limit_and_the_next_goes_on_in_turn():
    rig = Rig()
    for stream_id in (1, 3):
        rig.queue(stream_id)
        rig.send(stream_id, 300)
    rig.fill(100)
    rig.fill(100)
    rig.fill(100)
    assert rig.session.order() == [1, 3, 1]


def test_a_call_with_a_shut_window_waits_while_others_go_on():
    rig = Rig()
    rig.queue(1)
    rig.queue(3)
    rig.session.windows[1] = 0
    rig.send(1, 50)
    rig.send(3, 50)
    assert rig.fill() == [3]
    assert rig.fill() == []
    rig.session.windows[1] = 20
    assert rig.fill() == []
    rig.scheduler.window_opened(1)
    assert rig.fill() == [1]
    rig.session.windows[1] = 100
    rig.scheduler.limits_changed()
    assert rig.fill() == [1]
    assert rig.queues[1].unsent_bytes == 0


@pytest.mark.parametrize("window", [0, -1000])
def test_a_negative_window_sends_nothing(window):
    rig = Rig()
    rig.queue(1)
    rig.session.windows[1] = window
    rig.send(1, 50)
    assert rig.fill() == []
    assert rig.session.sent == []


def test_a_shut_connection_window_keeps_every_calls_turn():
    rig = Rig()
    for stream_id in (1, 3, 5):
        rig.queue(stream_id)
        rig.send(stream_id, 50)
    rig.session.connection_window = 50
    assert rig.fill() == [1]
    rig.session.connection_window = 200
    assert rig.fill() == [3, 5]


def test_an_end_without_data_needs_no_window():
    rig = Rig()
    rig.queue(1)
    rig.session.windows[1] = 0
    rig.session.connection_window = 0
    rig.end(1)
    assert rig.fill() == [1]
    assert rig.session.sent == [("data", 1, b"", True)]


def test_a_clients_end_rides_on_its_last_data():
    rig = Rig()
    rig.queue(1)
    rig.send(1, 150)
    rig.end(1)
    rig.fill()
    assert [(len(entry[2]), entry[3]) for entry in rig.session.sent] == [(100, False), (50, True)]
    assert rig.queues[1].done


def test_headers_messages_and_trailers_go_out_in_one_fill():
    rig = Rig()
    rig.queue(1, HEADERS)
    rig.send(1, 20)
    rig.end(1, TRAILERS)
    assert rig.fill() == [1]
    assert [(entry[0], entry[3]) for entry in rig.session.sent] == [
        ("headers", False),
        ("data", False),
        ("headers", True),
    ]


def test_an_end_without_messages_is_one_header_block():
    rig = Rig()
    rig.queue(1, HEADERS)
    rig.end(1, TRAILERS)
    rig.fill()
    assert rig.session.sent == [("headers", 1, HEADERS + TRAILERS, True)]
    assert rig.queues[1].done


def test_trailers_wait_for_the_data_before_them():
    rig = Rig()
    rig.queue(1, HEADERS)
    rig.session.windows[1] = 60
    rig.send(1, 100)
    rig.end(1, TRAILERS)
    rig.fill()
    assert not rig.queues[1].done
    rig.session.windows[1] = 60
    rig.scheduler.window_opened(1)
    rig.fill()
    assert rig.session.sent[-1] == ("headers", 1, TRAILERS, True)


def test_a_queue_is_told_of_once_until_it_has_sent():
    rig = Rig()
    queue = rig.queue(1)
    rig.send(1, 20)
    assert not queue.idle
    rig.send(1, 20)
    rig.fill()
    assert queue.idle
    assert len(rig.session.sent) == 1


def test_a_removed_queue_sends_nothing():
    rig = Rig()
    queue = rig.queue(1)
    rig.send(1, 20)
    rig.scheduler.remove(1)
    rig.scheduler.remove(1)
    rig.scheduler.window_opened(1)
    assert rig.fill() == []
    assert queue.unsent_bytes == 0
    assert rig.scheduler.unsent_bytes == 0


@given(
    st.lists(st.binary(max_size=300), max_size=10),
    st.lists(st.integers(1, 70), min_size=1, max_size=20),
)
def test_every_message_arrives_whole_and_in_order_whatever_the_windows(messages, windows):
    rig = Rig(frame_bytes=64)
    queue = rig.queue(1)
    for message in messages:
        queue.add(message)
    queue.end()
    rig.session.windows[1] = 0
    rig.scheduler.wake(queue)
    unsent = sum(len(message) + MESSAGE for message in messages)
    turns = deque(windows)
    while not queue.done:
        rig.session.windows[1] += turns[0]
        turns.rotate(1)
        rig.scheduler.window_opened(1)
        before = len(rig.session.sent)
        rig.fill()
        unsent -= sum(len(entry[2]) for entry in rig.session.sent[before:])
        assert queue.unsent_bytes == unsent
    parser = MessageParser(10**6)
    received = [m for entry in rig.session.sent for m in parser.feed(entry[2])]
    assert received == messages
    assert [entry[3] for entry in rig.session.sent].count(True) == 1
    assert rig.session.sent[-1][3]
