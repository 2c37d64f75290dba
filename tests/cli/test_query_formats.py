"""What `trionode query` prints, and how it reads times."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json

import pytest

from trionode.cli.query_formats import Csv, Lines, Table
from trionode.client.querying import Found

NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def found(payload: bytes | None, encoding: str = "json", **changes) -> Found:
    values = {
        "id": "00000000000000000007-1",
        "type": "Order",
        "state": "ready",
        "created": NOON,
        "settled": None,
        "attempt": 1,
        "encoding": encoding,
        "size_bytes": 9,
        "properties": {"priority": 7},
        "node": "aa",
        "node_name": "n1",
        "payload": payload,
        "cursor": "c",
        "cls": None,
        **changes,
    }
    return Found(**values)


def printed(printer, *objects: Found) -> list[str]:
    lines = [line for each in objects for line in printer.take(each)]
    return [*lines, *printer.end()]


def test_a_line_of_json_has_the_payload_as_it_is():
    (line,) = printed(Lines(), found(b'{"total": 1.50,\n "n": 1}'))
    assert '"object":{"total": 1.50,  "n": 1}}' in line
    read = json.loads(line)
    assert (read["id"], read["state"], read["node"]) == ("00000000000000000007-1", "ready", "n1")
    assert read["created"] == "2026-11-25T12:00:00.000Z"
    assert read["properties"] == {"priority": 7}


@pytest.mark.parametrize(
    ("payload", "encoding", "shown"),
    [(b"\0\xff", "raw", "AP8="), (b"{", "json", "ew=="), (None, "json", None)],
)
def test_what_is_no_json_is_base64_and_what_is_not_there_null(payload, encoding, shown):
    (line,) = printed(Lines(), found(payload, encoding))
    assert json.loads(line)["object"] == shown


def test_a_table_shows_the_beginning_of_payloads_and_nothing_that_moves_the_cursor():
    lines = printed(Table(), found(b'{"a": "\x1b[2J' + b"x" * 100 + b'"}'), found(b"1"))
    assert lines[0].split() == [
        "ID", "TYPE", "STATE", "CREATED", "SETTLED", "ATTEMPT", "NODE", "OBJECT",
    ]  # fmt: skip
    assert "\x1b" not in lines[1]
    assert lines[1].endswith("…")
    assert printed(Table()) == ["no objects"]


def test_csv_has_a_column_for_each_field_of_the_first_object():
    objects = (
        found(b'{"n": 1, "city": "Riga, \\"old\\"", "lines": [1, 2]}'),
        found(b'{"n": -2, "other": 1}', state="settled", settled=NOON),
    )
    rows = list(csv.DictReader(io.StringIO("\n".join(printed(Csv(), *objects)))))
    assert rows[0]["object.city"] == 'Riga, "old"'
    assert rows[0]["object.lines"] == "[1,2]"
    assert (rows[1]["object.n"], rows[1]["object.city"]) == ("-2", "")
    assert rows[1]["settled"] == "2026-11-25T12:00:00.000Z"
    assert printed(Csv()) == ["id,type,state,created,settled,attempt,node"]


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "=cmd|'/c calc'!A0"])
def test_a_text_that_a_spreadsheet_would_run_gets_a_quote_before_it(text):
    lines = printed(Csv(), found(json.dumps({"a": text}).encode()))
    (row,) = csv.DictReader(io.StringIO("\n".join(lines)))
    assert row["object.a"] == f"'{text}"
