"""The comparison with other systems at tiny sizes: everything runs, and is checked."""

from __future__ import annotations

import importlib.util
import json

import pytest

from tests.benchmarks import report, runs
from tests.benchmarks.__main__ import main
from tests.benchmarks.measurements import MEASUREMENTS
from tests.benchmarks.steps import steps
from tests.benchmarks.systems import SYSTEMS
from tests.benchmarks.targets import TARGETS, rows

TINY = 0.001
NEEDS = {name for target in TARGETS for name in target.needs}


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_everything_that_is_measured_gives_its_figures(name):
    measurement = MEASUREMENTS[name]
    if reason := measurement.missing():
        pytest.skip(reason)
    found = measurement.run(TINY, {"raw": [1000.0]})
    told = {f"{name}.{part}" if part else name for part in found}
    assert all(value >= 0 for value in found.values())
    assert {each for each in NEEDS if each.partition(".")[0] == name} <= told


def test_every_system_is_measured():
    assert MEASUREMENTS.keys() >= SYSTEMS.keys()


@pytest.mark.parametrize("wrong", ["missing", "duplicates", "strangers", "left"])
def test_a_run_that_lost_or_doubled_something_has_no_figure(wrong):
    taken = dict.fromkeys(("missing", "duplicates", "strangers", "left"), 0)
    runs.check("a system", 10, taken)
    with pytest.raises(runs.NotExactlyOnce, match=f"of 10 objects .*{wrong}"):
        runs.check("a system", 10, taken | {wrong: 1})


def test_a_worker_that_fails_is_quoted():
    with (
        runs.python(
            "tests.benchmarks.worker", "nobody", "produce", '{"address": "", "count": 1}'
        ) as worker,
        pytest.raises(RuntimeError, match="nobody"),
    ):
        runs.read_line(worker)


def test_targets_are_met_or_missed_by_medians():
    found = {row.what: row for row in rows({"raw": [90, 150, 1000], "nats": [100, 100, 100]})}
    row = found[TARGETS[0].what]
    assert (row.target, row.measured, row.verdict) == ("≥ 1 ×", "1.5 ×", "met")  # noqa: RUF001
    assert rows({"raw": [99], "nats": [100]})[0].verdict == "missed"
    assert rows({"half-load.p99": [10.1]})[10].verdict == "missed"
    assert rows({"half-load.p99": [9.9]})[10].verdict == "met"
    assert rows({})[0].verdict == "not measured"


@pytest.fixture
def document():
    return {
        "date": "2026-01-01",
        "rounds": 1,
        "machine": report.machine(),
        "skipped": {"rabbitmq": "not installed: rabbitmq-server"},
        "samples": {"raw": [150_000.0], "nats": [140_000.0], "durable": [60_000.0]},
    }


def test_the_table_of_a_run_is_printed_from_its_json(document, tmp_path, capsys):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    assert main(["--table", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "| 1.07 ×" in printed  # noqa: RUF001
    assert "2026-01-01, 1 rounds" in printed
    assert printed.count("not measured") > 10


def test_the_tables_replace_those_of_the_run_before(document, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for _ in range(2):
        report.write_page(document, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("rabbitmq: not installed") == 1


def test_the_readme_shows_the_picture_once(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{report.PICTURE_MARK}after\n")
    for _ in range(2):
        report.show_picture(page)
    assert page.read_text() == f"before\n{report.PICTURE_MARK}{report.PICTURE}after\n"
    assert report.PICTURE_MARK in report.README_PATH.read_text()


@pytest.mark.skipif(
    not importlib.util.find_spec("matplotlib"), reason="matplotlib is not installed"
)
def test_the_picture_is_small_and_names_who_is_in_it(document, tmp_path):
    path = tmp_path / "picture.svg"
    report.draw(document, path)
    drawn = path.read_text()
    assert len(drawn) < 50_000
    assert (
        drawn.index("trionode, on disk") < drawn.index("NATS core") < drawn.index("trionode, mem")
    )


def test_what_fails_is_told_and_costs_the_others_nothing(monkeypatch, tmp_path, capsys):
    def fail(scale, so_far):
        raise runs.NotExactlyOnce("lost one")

    monkeypatch.setitem(MEASUREMENTS, "nats", MEASUREMENTS["ping"].__class__(fail))
    path = tmp_path / "run.json"
    arguments = [
        "--rows",
        "nats",
        "ping",
        "--rounds",
        "2",
        "--scale",
        str(TINY),
        "--json",
        str(path),
    ]
    assert main(arguments) == 1
    written = json.loads(path.read_text())
    assert written["skipped"] == {"nats": "failed: lost one"}
    assert len(written["samples"]["ping.p50"]) == 2
    assert "nats: failed: lost one" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--rows", "nothing"], ["--write", "--rows", "raw"], ["--write", "--scale", "0.1"]],
    ids=" ".join,
)
def test_unknown_rows_and_parts_of_a_run_that_is_to_be_written_are_usage_errors(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_each_step_of_an_object_through_a_node_has_its_time():
    found = dict(steps(batch=8, rounds=2))
    assert len(found) == 6
    assert all(us > 0 for us in found.values())
