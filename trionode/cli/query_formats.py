"""How `trionode query` prints objects: as a table, as JSON lines, as CSV. Pure, no I/O."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import TYPE_CHECKING, Any

from trionode.cli.payloads import on_one_line
from trionode.cli.tables import table

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from trionode.client.querying import Found

PAYLOAD_SHOWN = 60
"""Characters of a payload in a table."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = ("id", "type", "state", "created", "settled", "attempt", "node")


class _Printer:
    """Takes objects one by one and gives lines."""

    def take(self, found: Found[Any]) -> Iterator[str]:
        """The lines that can be printed now."""
        raise NotImplementedError

    def end(self) -> Iterator[str]:
        """The lines after the last object."""
        yield from ()


class Table(_Printer):
    """Aligned columns for people, printed when all is known."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []

    def take(self, found: Found[Any]) -> Iterator[str]:
        """See `_Printer`."""
        text = _payload_text(found)
        shown = text if len(text) <= PAYLOAD_SHOWN else f"{text[:PAYLOAD_SHOWN]}…"
        self._rows.append((*_texts(found), "".join(c if c.isprintable() else "." for c in shown)))
        yield from ()

    def end(self) -> Iterator[str]:
        """The table, or that there is nothing."""
        if not self._rows:
            yield "no objects"
            return
        titles = (*(name.upper() for name in _COLUMNS), "OBJECT")
        yield from table(titles, self._rows, left=len(titles))


class Lines(_Printer):
    """An object of JSON a line; JSON payloads are in it as they are, others as base64."""

    def take(self, found: Found[Any]) -> Iterator[str]:
        """See `_Printer`."""
        head = {
            "id": found.id,
            "type": found.type,
            "state": found.state,
            "created": _time(found.created),
            "settled": None if found.settled is None else _time(found.settled),
            "attempt": found.attempt,
            "encoding": found.encoding,
            "node": found.node_name or found.node,
            "properties": found.properties,
        }
        text = json.dumps(head, ensure_ascii=False, separators=(",", ":"))
        yield f'{text[:-1]},"object":{_payload_json(found)}}}'


class Csv(_Printer):
    """Comma-separated values (RFC 4180): properties, then the fields of the first object.

    A text that a spreadsheet would take for a formula gets a quote before it.
    """

    def __init__(self) -> None:
        self._fields: list[str] | None = None

    def take(self, found: Found[Any]) -> Iterator[str]:
        """See `_Printer`."""
        document = _document(found)
        if self._fields is None:
            self._fields = list(document)
            yield _csv([*_COLUMNS, *(f"object.{name}" for name in self._fields)])
        yield _csv([*_texts(found), *(_cell(document.get(name)) for name in self._fields)])

    def end(self) -> Iterator[str]:
        """The titles, where there was nothing below them."""
        if self._fields is None:
            yield _csv(_COLUMNS)


FORMATS = {"table": Table, "jsonl": Lines, "csv": Csv}


def _texts(found: Found[Any]) -> tuple[str, ...]:
    settled = "" if found.settled is None else _time(found.settled)
    return (
        found.id,
        found.type,
        found.state,
        _time(found.created),
        settled,
        str(found.attempt),
        found.node_name or found.node,
    )


def _time(time: dt.datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _payload_text(found: Found[Any]) -> str:
    if found.payload is None:
        return f"({found.size_bytes} bytes, too long for an answer)"
    if found.encoding == "json":
        return on_one_line(found.payload).decode("utf-8", "replace")
    return base64.b64encode(found.payload).decode()


def _payload_json(found: Found[Any]) -> str:
    if found.payload is None:
        return "null"
    if found.encoding == "json":
        try:
            json.loads(found.payload)
            return on_one_line(found.payload).decode()
        except ValueError:
            pass
    return json.dumps(base64.b64encode(found.payload).decode())


def _document(found: Found[Any]) -> dict[str, Any]:
    """The fields of an object, or its payload as one."""
    if found.payload is not None and found.encoding == "json":
        try:
            document = json.loads(found.payload)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
    return {"payload": _payload_text(found)}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _csv(cells: Any) -> str:
    safe = [f"'{cell}" if _is_formula(cell) else cell for cell in cells]
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(safe)
    return out.getvalue()


def _is_formula(cell: str) -> bool:
    if not cell.startswith(_FORMULA):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False
