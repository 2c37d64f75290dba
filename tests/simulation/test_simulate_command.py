"""`trionode simulate` as a user runs it: seeds, shapes of meshes, faults, reports."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from trionode.cli.root import root


def simulate(*arguments: str):
    return CliRunner().invoke(root, ["simulate", *arguments])


def report(*arguments: str) -> dict:
    done = simulate("--json", *arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_promises_hold_under_every_fault_with_all_checks_at_every_event(seed):
    done = simulate("--seed", str(seed), "--minutes", "0.3", "--objects", "200", "--check", "every")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("topology", ["mesh", "ring", "chain", "star", "random:3"])
def test_without_faults_every_object_is_settled_once_in_every_shape_of_mesh(topology):
    done = report(
        *("--nodes", "8", "--topology", topology, "--faults", "none"),
        *("--objects", "300", "--minutes", "0.5"),
    )
    objects = done["objects"]
    assert objects["pushed"] == 300
    assert objects["acknowledged"] == 300 - objects["repeated"] > 200
    assert objects["settled"] == done["deliveries"] == objects["acknowledged"]


def test_one_seed_gives_one_trace():
    arguments = ("--seed", "7", "--minutes", "0.2", "--objects", "200")
    assert report(*arguments)["trace_hash"] == report(*arguments)["trace_hash"]


def test_another_seed_gives_another_trace():
    arguments = ("--minutes", "0.2", "--objects", "200")
    one, other = report("--seed", "7", *arguments), report("--seed", "8", *arguments)
    assert one["trace_hash"] != other["trace_hash"]


def test_a_range_of_seeds_is_run_seed_by_seed():
    done = simulate("--seed", "11..13", "--minutes", "0.1", "--objects", "50")
    assert done.exit_code == 0, done.output
    for seed in (11, 12, 13):
        assert f"seed {seed} " in done.output


@pytest.mark.parametrize(
    "arguments",
    [("--topology", "torus"), ("--faults", "gremlins"), ("--seed", "x"), ("--exhaustive", "no")],
)
def test_what_cannot_be_simulated_is_a_wrong_usage(arguments):
    done = simulate(*arguments)
    assert done.exit_code == 2
    assert arguments[1] in done.output


def test_the_presets_of_small_worlds_are_listed():
    done = simulate("--exhaustive", "list")
    assert done.exit_code == 0
    assert "crossing" in done.output
