"""Orders become invoices, invoices become mails: three services, any node, nothing lost.

    python shop.py order --count 100         push orders
    python shop.py invoice                   Order -> Invoice
    python shop.py write                     Invoice -> Mail
    python shop.py send --file mails.txt     Mail -> a line in a file

Each takes `--node ADDRESS[,ADDRESS]...`. Any of them may be killed at any time and started again.
"""

from __future__ import annotations

import argparse
import os
import sys
from decimal import Decimal
from pathlib import Path

import attrs
import trio

import trionode


@attrs.frozen
class Order:
    number: str
    customer: str
    total: Decimal


@attrs.frozen
class Invoice:
    number: str
    customer: str
    due: Decimal


@attrs.frozen
class Mail:
    to: str
    about: str
    text: str


async def push_orders(client: trionode.Client, count: int) -> None:
    async with client.pusher(Order) as pusher:
        for number in range(1, count + 1):
            await pusher.send(Order(f"o-{number}", f"customer-{number % 7}", Decimal(number)))
    print(f"{count} orders are in custody")


async def make_invoices(client: trionode.Client) -> None:
    async with client.subscribe(Order, credit=16) as deliveries:
        async for delivery in deliveries:
            order = delivery.object
            invoice = Invoice(order.number, order.customer, order.total * Decimal("1.21"))
            # In one step: the order is settled if and only if its invoice is in custody.
            delivery.ack(emit=[invoice])


async def write_mails(client: trionode.Client) -> None:
    async with client.subscribe(Invoice, credit=16) as deliveries:
        async for delivery in deliveries:
            invoice = delivery.object
            text = f"Please pay {invoice.due}."
            delivery.ack(emit=[Mail(invoice.customer, invoice.number, text)])


async def send_mails(client: trionode.Client, file: Path) -> None:
    """What leaves the mesh cannot be taken back: a mail is sent first, and then acknowledged.

    A process that dies in between has its mail sent again by another one: once too often, never
    not at all. A mail server that knows `delivery.id` can leave the second one out.
    """
    with file.open("a") as outbox:
        async with client.subscribe(Mail, credit=16) as deliveries:
            async for delivery in deliveries:
                with delivery as mail:
                    outbox.write(f"{os.getpid()} {delivery.id} {mail.about} {mail.text}\n")
                    outbox.flush()


async def run(options: argparse.Namespace) -> None:
    async with trionode.connect(*options.node.split(",")) as client:
        match options.service:
            case "order":
                await push_orders(client, options.count)
            case "invoice":
                await make_invoices(client)
            case "write":
                await write_mails(client)
            case "send":
                await send_mails(client, options.file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("service", choices=["order", "invoice", "write", "send"])
    parser.add_argument("--node", default="127.0.0.1:7400")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--file", type=Path, default=Path("mails.txt"))
    try:
        trio.run(run, parser.parse_args())
    except trionode.ConnectError as error:  # no node was there at the start; later it is waited for
        sys.exit(f"shop: {error}")
