"""What `status` and `types` print for people: plain aligned columns. Pure, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_TYPE_COLUMNS = (
    ("ready", "ready"),
    ("blocked", "blocked"),
    ("delayed", "delayed"),
    ("leased", "leased"),
    ("transferring", "moving"),
    ("dead", "dead"),
    ("oldest_ready_age_s", "oldest"),
    ("subscriptions", "subs"),
    ("credit", "credit"),
    ("remote_credit", "remote"),
    ("accepted", "accepted"),
    ("received", "received"),
    ("settled", "settled"),
    ("transferred", "given"),
)
_PATTERN_COLUMNS = ("subscriptions", "credit", "remote_credit")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def duration(seconds: float | None) -> str:
    """Seconds as a short text: `0.3 s`, `5 m 12 s`, `2 h 3 m`, `4 d 1 h`; None is a dash."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} m {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} m"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def size(size_bytes: float | None) -> str:
    """Bytes as a short text: `512 B`, `1.5 MiB`; None is a dash."""
    if size_bytes is None:
        return "-"
    value = float(size_bytes)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of aligned columns, the first `left` of them flush left, the others flush right."""
    cells = [list(titles), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def status_text(status: Mapping[str, Any]) -> str:
    """The status of a node for people; missing figures show as a dash."""
    store, memory = status.get("store", {}), status.get("memory", {})
    place = f" in {store['path']}" if store.get("path") else ""
    head = [
        f"node {status['name']}  {status['state']}, up {duration(status.get('uptime_s'))}",
        f"trionode {status['version']}, protocol {status['protocol']}",
        f"id {status['id']}, incarnation {status['incarnation']}",
        f"store {store.get('kind', '-')}{place}, {store.get('state')}, {size(store.get('bytes'))}",
        f"memory {size(memory.get('bytes'))} of {size(memory.get('limit'))}",
    ]
    parts = [head, _peers(status["peers"]), _types(status["types"])]
    if status.get("patterns"):
        parts.append(_patterns(status["patterns"]))
    return "\n\n".join(["\n".join(part) for part in parts])


def _peers(peers: Sequence[Mapping[str, Any]]) -> list[str]:
    if not peers:
        return ["no peers"]
    rows = [
        (
            peer.get("name") or "-",
            peer.get("address") or "-",
            peer["state"],
            peer.get("version") or "-",
            "-" if peer.get("rtt_ms") is None else f"{peer['rtt_ms']:.1f} ms",
            peer.get("last_error") or "",
        )
        for peer in peers
    ]
    return table(("PEER", "ADDRESS", "STATE", "VERSION", "RTT", "LAST ERROR"), rows, left=6)


def _types(types: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not types:
        return ["no types yet"]
    titles = ("TYPE", *(title.upper() for _, title in _TYPE_COLUMNS))
    rows = [
        (name, *(_figure(key, counts.get(key)) for key, _ in _TYPE_COLUMNS))
        for name, counts in sorted(types.items())
    ]
    return table(titles, rows)


def _patterns(patterns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [
        (key, *(_figure(name, counts.get(name)) for name in _PATTERN_COLUMNS))
        for key, counts in sorted(patterns.items())
    ]
    titles = ("PATTERN", *(name.replace("_", " ").upper() for name in _PATTERN_COLUMNS))
    return table(titles, rows)


def _figure(key: str, value: Any) -> str:
    if value is None:
        return "-"
    return duration(value) if key.endswith("_s") else str(value)
