"""`python -m tests.benchmarks`: the runner."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.measurements import MEASUREMENTS

_EPILOG = """\
trionode and its peers do the same work in one run, one after the other in each
round, and every run checks that what was sent was settled exactly once. Ratios
of medians count; absolute figures are those of the machine. Peers that are not
installed are skipped with a word; the servers are packages of the system
(nats-server, redis-server, rabbitmq-server, beanstalkd), the clients come with
the extra: pip install -e '.[bench]'.

examples:
  python -m tests.benchmarks --write               measure all, about 13 minutes
  python -m tests.benchmarks --rows raw nats redis
  python -m tests.benchmarks --rounds 1 --scale 0.01   see that all works
  python -m tests.benchmarks --table               the table of the committed run
"""


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure trionode beside what its users would pick instead.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rows", nargs="+", choices=MEASUREMENTS, metavar="ROW",
        help=f"measure only these: {', '.join(MEASUREMENTS)}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="how often (default: 5)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="part of the objects of a full run (default: 1)"
    )
    parser.add_argument(
        "--seconds", type=float, default=900, metavar="S",
        help="begin nothing more after so long, but finish the first round (default: 900)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run's figures")
    parser.add_argument(
        "--write", action="store_true",
        help="write docs/performance.json, the picture (also into the README), and the tables in docs/performance.md",
    )  # fmt: skip
    parser.add_argument(
        "--table", nargs="?", type=Path, const=report.JSON_PATH, metavar="FILE",
        help="measure nothing: print the table of a run (default: docs/performance.json)",
    )  # fmt: skip
    parser.add_argument(
        "--draw", nargs="?", type=Path, const=report.JSON_PATH, metavar="FILE",
        help="measure nothing: write the picture and the page's tables of a run",
    )  # fmt: skip
    given = parser.parse_args(argv)
    if given.write and (given.rows or given.scale != 1):
        parser.error("--write is for whole runs: without --rows and --scale")
    return given


def measure(names: list[str], rounds: int, scale: float, seconds: float) -> dict[str, Any]:
    """Do all of these once a round; the document of the run."""
    begun = time.monotonic()
    document: dict[str, Any] = {
        "format": 1,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": report.machine(),
        "rounds": 0,
        "scale": scale,
        "skipped": {},
        "samples": {},
    }
    skipped, samples = document["skipped"], document["samples"]
    for name in names:
        if reason := MEASUREMENTS[name].missing():
            skipped[name] = reason
            _tell(f"{name}: skipped, {reason}")
    for turn in range(rounds):
        for name in names:
            late = turn > 0 and time.monotonic() - begun > seconds
            if late or name in skipped or turn >= MEASUREMENTS[name].rounds_max:
                continue
            try:
                found = MEASUREMENTS[name].run(scale, samples)
            except Exception as error:  # noqa: BLE001  # one that fails must not cost the others
                skipped[name] = f"failed: {error}"[:500]
                _tell(f"{name}: {skipped[name]}")
                continue
            for part, value in found.items():
                samples.setdefault(f"{name}.{part}" if part else name, []).append(value)
            document["rounds"] = turn + 1
            shown = ", ".join(f"{part} {value:,.6g}".strip() for part, value in found.items())
            _tell(f"[{turn + 1}/{rounds}, {time.monotonic() - begun:.0f} s] {name}: {shown}")
    return document


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Run what is asked for; 1 when something could not be measured that should have been."""
    given = _arguments(argv)
    read = given.table or given.draw
    if read:
        document = json.loads(read.read_text(encoding="utf-8"))
    else:
        names = given.rows or list(MEASUREMENTS)
        document = measure(names, given.rounds, given.scale, given.seconds)
    if given.write:
        given.json = given.json or report.JSON_PATH
    if given.json and not read:
        given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if given.write or given.draw:
        report.write_page(document)
        report.draw(document)
        report.show_picture()
    print(report.describe(document), report.table(document["samples"]), sep="\n\n")
    if not read:
        print("", report.figures(document["samples"]), sep="\n")
    return int(any(why.startswith("failed") for why in document["skipped"].values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
