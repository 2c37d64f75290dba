"""What mypy infers of the public API, in strict mode."""

from __future__ import annotations

import pytest

import trionode

api = pytest.importorskip("mypy.api", reason="mypy comes with the extra dev only")

PROGRAM = """
import attrs
import trionode

@attrs.frozen
class Invoice:
    number: int

@attrs.frozen
class Bill:
    text: str

async def main() -> None:
    async with trionode.connect("127.0.0.1:7400") as client:
        reveal_type(client)
        reveal_type(await client.push(Invoice(1)))
        async with client.subscribe(Invoice, credit=64) as deliveries:
            async for delivery in deliveries:
                reveal_type(delivery)
                with delivery as invoice:
                    reveal_type(invoice)
        async with client.subscribe(Invoice, Bill) as both:
            reveal_type(both)
        async with client.subscribe("Invoice", "Bill") as named:
            reveal_type(named)
        async with client.pusher(Invoice) as pusher:
            receipt = await pusher.send(Invoice(2))
            reveal_type(await receipt.wait())

@trionode.object_type("billing.Paid")
@attrs.frozen
class Paid:
    amount: int

reveal_type(Paid(1))
"""

REVEALED = [
    "trionode.client.client.Client",
    "str",
    "trionode.client.deliveries.Delivery[program.Invoice]",
    "program.Invoice",
    "trionode.client.deliveries.Deliveries[program.Invoice | program.Bill]",
    "trionode.client.deliveries.Deliveries[Any]",
    "trionode.ids.ObjectId",
    "program.Paid",
]


def test_mypy_strict_infers_what_is_delivered(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    out, err, _ = api.run(["--strict", "--config-file=", f"--cache-dir={tmp_path}", str(program)])
    assert err == ""
    lines = [line.partition("note: ")[2] for line in out.splitlines() if "note: " in line]
    assert "error" not in out
    assert [line.split('"')[1] for line in lines] == REVEALED


def test_every_public_name_is_there():
    for name in trionode.__all__:
        assert getattr(trionode, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = trionode.nothing
