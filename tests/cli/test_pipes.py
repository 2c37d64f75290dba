"""Reading and writing file descriptors in trio."""

from __future__ import annotations

import contextlib
import os

import pytest
import trio

from trionode.cli.pipes import Writer, read, read_lines


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # the test may have closed it
            os.close(end)


async def test_lines_come_in_batches_as_they_arrive(pipe):
    reading, writing = pipe
    os.write(writing, b"a\nb\r\nc")
    os.close(writing)
    batches = [batch async for batch in read_lines(reading)]
    assert batches == [([b"a", b"b"], False), ([b"c"], True)]


async def test_a_line_that_is_too_long_comes_as_none(pipe):
    reading, writing = pipe
    os.write(writing, b"12345\nab\n")
    os.close(writing)
    assert [batch async for batch in read_lines(reading, limit_bytes=4)] == [([None, b"ab"], False)]


async def test_a_read_that_waits_can_be_cancelled(pipe):
    reading, _ = pipe
    with trio.move_on_after(0) as scope:
        await read(reading)
    assert scope.cancelled_caught


async def test_a_non_blocking_descriptor_is_waited_for(pipe):
    reading, writing = pipe
    os.set_blocking(reading, False)
    received = []
    async with trio.open_nursery() as nursery:

        async def take():
            received.append(await read(reading))

        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        os.write(writing, b"x")
    assert received == [b"x"]
    assert not os.get_blocking(reading)


@pytest.mark.parametrize("blocking", [True, False])
async def test_more_than_a_pipe_holds_is_written_whole(pipe, blocking):
    reading, writing = pipe
    os.set_blocking(writing, blocking)
    data = os.urandom(1_000_000)
    received = bytearray()
    async with trio.open_nursery() as nursery:

        async def take():
            while len(received) < len(data):
                received.extend(await read(reading))

        nursery.start_soon(take)
        await Writer(writing).write(data)
    assert received == data


async def test_a_short_write_goes_straight_through(pipe):
    reading, writing = pipe
    await Writer(writing).write(b"OK\n")
    assert os.read(reading, 100) == b"OK\n"


async def test_a_reader_that_is_gone_is_a_broken_pipe(pipe):
    reading, writing = pipe
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        await Writer(writing).write(b"OK\n")
    with pytest.raises(BrokenPipeError):
        await Writer(writing).write(b"x" * 100_000)
