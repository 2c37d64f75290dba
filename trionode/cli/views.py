"""What commands print of objects that a node holds: tables for people, JSON lines for scripts."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import attrs
import click

from trionode.cli.tables import duration, size, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    from trionode.client.inspection import ObjectView

    Decorated = TypeVar("Decorated", bound=Callable[..., Any])

WAITS_MAX_CHARACTERS = 60
PREVIEW_CHARACTERS = 60
PREVIEW_BYTES = 4096
"""Of each payload in a listing."""


def listing_options(function: Decorated) -> Decorated:
    """Add the options of a command that lists objects."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each."),
        click.option("--payload", is_flag=True, help=f"Show up to {PREVIEW_BYTES} bytes of each."),
        click.option(
            "--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.  [all]"
        ),
    ):
        function = option(function)
    return function


def choice_options(function: Decorated) -> Decorated:
    """Add the options that choose among objects: `--reason` and `--older-than`."""
    for option in (
        click.option(
            "--older-than",
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            default=0.0,
            help="Only objects that were made so long ago.",
        ),
        click.option(
            "--reason",
            metavar="TEXT",
            default="",
            help="Only those whose death or last failure has TEXT in it.",
        ),
    ):
        function = option(function)
    return function


def json_of(view: ObjectView) -> dict[str, Any]:
    """An object as the JSON that is printed of it."""
    found = attrs.asdict(view)
    payload = found.pop("payload")
    cut = found.pop("payload_cut")
    found["bytes"] = found.pop("size_bytes")
    if payload is not None:
        is_text = view.encoding == "json"
        found["payload"] = (
            payload.decode(errors="replace") if is_text else base64.b64encode(payload).decode()
        )
        found["payload_cut"] = cut
    return found


def json_line(view: ObjectView) -> str:
    """The JSON line of an object."""
    return json.dumps(json_of(view), ensure_ascii=False)


def objects_table(views: Sequence[ObjectView], *, payload: bool) -> list[str]:
    """The lines of a table of objects."""
    titles = ["ID", "STATE", "ATTEMPT", "AGE", "SIZE", "WAITS FOR"]
    if payload:
        titles.append("PAYLOAD")
    rows = [
        [
            view.id,
            view.state,
            str(view.attempt),
            duration(view.age_s),
            size(view.size_bytes),
            _cut(view.waits_for[0] if view.waits_for else "-", WAITS_MAX_CHARACTERS),
            *([_cut(_text(view), PREVIEW_CHARACTERS)] if payload else []),
        ]
        for view in views
    ]
    return table(titles, rows, left=len(titles))


def object_text(view: ObjectView) -> str:
    """Everything about one object, for people."""
    lines = {
        "id": view.id,
        "type": view.type,
        "state": f"{view.state}, for {duration(view.state_age_s)}",
        "attempt": str(view.attempt),
        "age": duration(view.age_s),
        "size": f"{size(view.size_bytes)}, {view.encoding}",
        **({"due in": duration(view.due_in_s)} if view.due_in_s is not None else {}),
        **({"deadline in": duration(view.deadline_in_s)} if view.deadline_in_s is not None else {}),
        **{name: str(value) for name, value in view.properties.items()},
    }
    width = max(map(len, lines)) + 2
    text = [f"{name:{width}}{value}" for name, value in lines.items()]
    for title, told in (("why", view.waits_for), ("history", map(_event, view.history))):
        for index, each in enumerate(told):
            text.append(f"{'' if index else title:{width}}{each}")
    if view.payload is not None:
        text += ["", _text(view) + (" …" if view.payload_cut else "")]
    return "\n".join(text)


def _event(event: Mapping[str, Any]) -> str:
    """A line of a history: `12.0 s ago  failed at n1 by worker, attempt 2: no route`."""
    when = "at some time" if event.get("ago_s") is None else f"{duration(event['ago_s'])} ago"
    text = f"{when}  {event['what']}"
    for word, name in (("at", "node"), ("by", "consumer")):
        if event.get(name):
            text += f" {word} {event[name]}"
    if event.get("attempt", 1) > 1:
        text += f", attempt {event['attempt']}"
    if event.get("until_s") is not None:
        text += f", for another {duration(event['until_s'])}"
    return f"{text}: {event['why']}" if event.get("why") else text


def _text(view: ObjectView) -> str:
    if view.payload is None:
        return "-"
    if view.encoding == "json":
        return view.payload.decode(errors="replace")
    return view.payload.hex(" ")


def _cut(text: str, characters: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
