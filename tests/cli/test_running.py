"""Signals end an async command in order, and errors come out as themselves."""

from __future__ import annotations

import os
import signal

import pytest
import trio

from trionode.cli.root import Failed, Interrupted
from trionode.cli.running import run


def test_the_result_comes_back():
    async def main(a, b):
        await trio.lowlevel.checkpoint()
        return a + b

    assert run(main, 1, 2) == 3


def test_an_error_comes_out_of_nurseries_as_itself():
    async def fail():
        raise Failed("because")

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()

    with pytest.raises(Failed, match="because"):
        run(main)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_cleanup_runs(signum):
    cleaned = []

    async def main():
        try:
            os.kill(os.getpid(), signum)
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
                cleaned.append(True)

    with pytest.raises(Interrupted) as caught:
        run(main)
    assert caught.value.signum == signum
    assert cleaned


def test_a_second_interrupt_breaks_off_the_cleanup():
    async def main():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                os.kill(os.getpid(), signal.SIGINT)
                await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        run(main)


def test_an_interruption_goes_before_other_errors():
    async def fail():
        raise Failed("because")

    async def main():
        raise BaseExceptionGroup("", [Failed("because"), KeyboardInterrupt()])

    with pytest.raises(KeyboardInterrupt):
        run(main)
