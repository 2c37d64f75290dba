"""The thread that commits are written in: what comes back, in what order, what cannot stop it."""

from __future__ import annotations

import threading

import pytest
import trio

from trionode.node.store_thread import StoreThread


async def test_calls_run_in_one_thread_that_is_not_the_event_loop_s() -> None:
    with StoreThread("a store's") as thread:
        found = [await thread.run(lambda _: threading.current_thread(), None) for _ in range(3)]
    assert len(set(found)) == 1
    assert found[0] is not threading.current_thread()
    assert found[0].name == "a store's"
    await trio.to_thread.run_sync(found[0].join)


async def test_without_a_call_there_is_no_thread() -> None:
    def names() -> list[str]:
        return [each.name for each in threading.enumerate()]

    with StoreThread("not needed") as thread:
        assert "not needed" not in names()
        await thread.run(str.upper, "a")
        assert "not needed" in names()


async def test_what_a_call_raises_comes_out_and_the_next_one_works() -> None:
    def fail(what: str) -> None:
        raise OSError(what)

    with StoreThread("store") as thread:
        for what in ("first", "second"):
            with pytest.raises(OSError, match=what):
                await thread.run(fail, what)
            assert await thread.run(str.upper, what) == what.upper()


async def test_a_call_is_waited_for_although_its_task_is_cancelled() -> None:
    begun, go_on = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()
    ended: list[str] = []

    def write(text: str) -> str:
        token.run_sync_soon(begun.set)
        go_on.wait()
        ended.append(text)
        return text

    async def commit() -> None:
        with StoreThread("store") as thread:
            ended.append(await thread.run(write, "written") + " and heard of")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commit)
        await begun.wait()
        nursery.cancel_scope.cancel()
        go_on.set()
    assert ended == ["written", "written and heard of"]


async def test_others_run_while_a_call_waits() -> None:
    go_on = threading.Event()

    async def release() -> None:
        go_on.set()

    with StoreThread("store") as thread:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(release)
            assert await thread.run(go_on.wait, None)
