"""What a run leaves: its JSON, the tables of it, and the picture."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.servers import program
from tests.benchmarks.systems import SYSTEMS
from tests.benchmarks.targets import medians, rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOCS = Path(__file__).resolve().parents[2] / "docs"
JSON_PATH = DOCS / "performance.json"
PICTURE_PATH = DOCS / "performance.svg"
PAGE_PATH = DOCS / "performance.md"
README_PATH = DOCS.parent / "README.md"
PICTURE_MARK = (
    "<!-- picture of the measured systems: written by python -m tests.benchmarks --write -->\n"
)
PICTURE = "![128-byte objects per second, system by system](docs/performance.svg)\n"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
LIBRARIES = (
    "trio",
    "h2",
    "msgpack",
    "nats-py",
    "redis",
    "aio-pika",
    "greenstalk",
    "grpcio",
    "grpclib",
)
SERVERS = {"nats-server": "--version", "redis-server": "--version", "beanstalkd": "-v"}
_OURS = {"raw": "trionode, memory", "durable": "trionode, on disk"}


def machine() -> dict[str, Any]:
    """What this machine is and what is installed on it."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "servers": {name: found for name in SERVERS if (found := _server_version(name))},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"model name\s*: (.*)", text)
    return found[1] if found else platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _server_version(name: str) -> str:
    path = program(name)
    if path is None:
        return ""
    done = subprocess.run([path, SERVERS[name]], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
    return found[0] if found else ""


def describe(document: Mapping[str, Any]) -> str:
    """The machine and the run in one sentence."""
    made = document["machine"]
    return (
        f"{document['date']}, {document['rounds']} rounds, {made['cores']} cores of"
        f" {made['processor']}, {made['memory_gib']} GiB, {made['system']},"
        f" Python {made['python']}, load {made['load_before']} before."
    )


def table(samples: Mapping[str, Sequence[float]]) -> str:
    """The targets as a table of Markdown."""
    lines = ["| what | target | measured | |", "|---|---|---|---|"]
    lines += [f"| {r.what} | {r.target} | {r.measured} | {r.verdict} |" for r in rows(samples)]
    return "\n".join(lines)


def figures(samples: Mapping[str, Sequence[float]]) -> str:
    """Every figure with its least, median and greatest value, as a table of Markdown."""
    lines = ["| figure | median | least | greatest | rounds |", "|---|---|---|---|---|"]
    for name, middle in medians(samples).items():
        values = samples[name]
        ends = f"{_number(min(values))} | {_number(max(values))}"
        lines.append(f"| {name} | {_number(middle)} | {ends} | {len(values)} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def page(document: Mapping[str, Any]) -> str:
    """What stands between the markers of the page."""
    skipped = "".join(f"\n- {name}: {why}" for name, why in document["skipped"].items())
    parts = [describe(document), table(document["samples"]), figures(document["samples"])]
    return "\n\n".join(parts) + (f"\n\nNot measured:\n{skipped}" if skipped else "")


def write_page(document: Mapping[str, Any], path: Path = PAGE_PATH) -> None:
    """Put a run's tables between the markers of the page."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{page(document)}\n\n{END}{after}", encoding="utf-8")


def show_picture(path: Path = README_PATH) -> None:
    """Have the README show the picture, once there is one."""
    text = path.read_text(encoding="utf-8")
    if PICTURE not in text:
        path.write_text(text.replace(PICTURE_MARK, PICTURE_MARK + PICTURE), encoding="utf-8")


def bars(samples: Mapping[str, Sequence[float]]) -> list[tuple[str, str, float]]:
    """Name, promise and objects per second of each system that was measured, the fastest first."""
    found = medians(samples)
    ours = {"raw": "at least once, acknowledged", "durable": "at least once, fsynced"}
    named = [(_OURS[key], ours[key], found[key]) for key in ours if key in found]
    named += [
        (each.name, each.promise, found[key]) for key, each in SYSTEMS.items() if key in found
    ]
    return sorted(named, key=lambda bar: bar[2], reverse=True)


def draw(document: Mapping[str, Any], path: Path = PICTURE_PATH) -> None:
    """Draw the systems as bars.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib as mpl  # noqa: PLC0415  # in the extra `bench` only

    mpl.use("svg")
    # Text stays text: the picture is small, and can be searched.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "trionode", "font.size": 9}
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after its backend was chosen

    shown = bars(document["samples"])[::-1]
    figure, axes = plt.subplots(figsize=(7.2, 0.42 * len(shown) + 1.0), layout="constrained")
    names = [f"{name}\n{promise}" for name, promise, _ in shown]
    colours = ["#1f6f8b" if name.startswith("trionode") else "#b8c4cc" for name, _, _ in shown]
    drawn = axes.barh(names, [value for _, _, value in shown], color=colours)
    axes.bar_label(drawn, labels=[f" {value:,.0f}" for _, _, value in shown])
    axes.set_title("128-byte objects per second: push → deliver → settle, Python clients")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    axes.set_xticks([])
    axes.margins(x=0.12)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
