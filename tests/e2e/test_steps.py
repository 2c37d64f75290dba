"""Chains of steps with real nodes: killed in the middle, no step is lost or half done."""

from __future__ import annotations

import attrs
import pytest
import trio

import trionode
from tests.support.processes import DEADLINE_S, node_process

ORDERS = 300
KILLS = 4


@attrs.frozen
class Order:
    number: int


@attrs.frozen
class Invoice:
    order: int


@attrs.frozen
class Mail:
    order: int


@pytest.fixture(autouse=True)
async def _bounded():
    """No test of these hangs."""
    with trio.fail_after(2 * DEADLINE_S):
        yield


@attrs.define
class Books:
    """What was seen of each order, outside of the nodes."""

    invoiced: dict[int, int] = attrs.field(factory=dict)
    mailed: dict[int, int] = attrs.field(factory=dict)
    parents: set[int] = attrs.field(factory=set)
    news: trio.Event = attrs.field(factory=trio.Event)


async def invoicing(address: str, books: Books) -> None:
    async with (
        trionode.connect(address) as client,
        client.subscribe(Order, credit=8) as orders,
    ):
        async for delivery in orders:
            with delivery as order:
                books.invoiced[order.number] = books.invoiced.get(order.number, 0) + 1
                await trio.sleep(0.002)  # the work, in the middle of which nodes die
                delivery.emit(Invoice(order.number))


async def mailing(address: str, books: Books) -> None:
    async with (
        trionode.connect(address) as client,
        client.subscribe(Invoice, credit=8) as invoices,
    ):
        async for delivery in invoices:
            assert delivery.parent is not None
            books.parents.add(delivery.parent)
            with delivery as invoice:
                delivery.emit(Mail(invoice.order))


async def sending(address: str, books: Books) -> None:
    async with (
        trionode.connect(address) as client,
        client.subscribe(Mail, credit=8) as mails,
    ):
        async for delivery in mails:
            with delivery as mail:
                books.mailed[mail.order] = books.mailed.get(mail.order, 0) + 1
            books.news.set()


async def test_each_order_is_mailed_though_its_nodes_are_killed_in_the_middle(tmp_path):
    books = Books()
    with node_process("n1", "--data-dir", str(tmp_path / "one")) as first:
        arguments = ("--data-dir", str(tmp_path / "two"), "--peer", first.address)
        with node_process("n2", *arguments) as second:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(invoicing, second.address, books)
                nursery.start_soon(mailing, first.address, books)
                nursery.start_soon(sending, second.address, books)
                async with trionode.connect(first.address) as client:
                    ids = {
                        trionode.parse_id(await client.push(Order(number), key=str(number)))
                        for number in range(ORDERS)
                    }
                for round_ in range(KILLS):
                    wanted = (round_ + 1) * ORDERS // (KILLS + 2)
                    while len(books.mailed) < wanted:
                        await books.news.wait()
                        books.news = trio.Event()
                    node = (first, second)[round_ % 2]
                    node.kill()
                    await trio.to_thread.run_sync(node.start)
                while len(books.mailed) < ORDERS:
                    await books.news.wait()
                    books.news = trio.Event()
                nursery.cancel_scope.cancel()
    assert sorted(books.mailed) == sorted(books.invoiced) == list(range(ORDERS))
    assert books.parents <= ids, "an invoice that no order has"
    # Each duplicate is of what a killed node, or its peer in doubt, was at: few of many.
    doubled = sum(count - 1 for count in books.mailed.values())
    assert doubled < ORDERS / 2


async def test_a_push_is_repeated_by_its_key_over_the_death_of_its_node(tmp_path):
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        for _ in range(3):
            async with trionode.connect(node.address) as client:
                ids = {await client.push(Order(1), key="once") for _ in range(10)}
                assert len(ids) == 1
            node.kill()
            node.start()
        async with trionode.connect(node.address) as client:
            status = await client.status()
        assert status["types"]["Order"]["ready"] == 1
