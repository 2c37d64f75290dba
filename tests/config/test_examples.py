"""The examples in conf/ load, and say what is true."""

from __future__ import annotations

import configparser
import itertools
import re
import tomllib
from pathlib import Path

import pytest

from trionode.config import Config, load
from trionode.config.loading import STATE_VARIABLE
from trionode.config.sections import SECTIONS, fields_of

CONF = Path(__file__).parent.parent.parent / "conf"
COMMENTED_KEY = re.compile(r"^# (?=\w+ = )", re.MULTILINE)


@pytest.fixture
def commented(tmp_path):
    """The node's example with the comment signs before its keys taken away."""
    path = tmp_path / "node.toml"
    path.write_text(COMMENTED_KEY.sub("", (CONF / "node.toml").read_text()))
    return path


def test_every_example_is_looked_at_here():
    assert {path.name for path in CONF.iterdir()} == {
        "node.toml",
        "pair-a.toml",
        "pair-b.toml",
        "trionode.service",
    }


def test_the_nodes_example_sets_nothing():
    assert load(CONF / "node.toml", {}, {}) == load(None, {}, {})


def test_the_nodes_example_comments_the_defaults(commented):
    assert load(commented, {}, {}) == load(None, {}, {})


def test_the_nodes_example_has_every_key_in_its_order(commented):
    example = tomllib.loads(commented.read_text())
    assert {section: list(keys) for section, keys in example.items()} == {
        section: list(fields_of(section)) for section in SECTIONS
    }


def test_every_key_that_the_documentation_names_is_one():
    root = CONF.parent
    # A file of that name is meant by `store.sqlite`.
    named = re.compile(rf"`({'|'.join(SECTIONS)})\.(?!sqlite)(\w+)")
    found = {
        (section, key)
        for path in (root / "README.md", *sorted((root / "docs").glob("*.md")))
        for section, key in named.findall(path.read_text())
    }
    assert ("routing", "max_attempts") in found
    assert [each for each in sorted(found) if each[1] not in fields_of(each[0])] == []


def test_the_nodes_example_explains_every_key():
    lines = (CONF / "node.toml").read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if COMMENTED_KEY.match(line):
            assert re.match(r"# \S", before), line
            assert not COMMENTED_KEY.match(before), line


def test_the_pair_dials_each_other():
    a, b = (load(CONF / f"pair-{name}.toml", {}, {}) for name in "ab")
    assert (a.node.name, b.node.name) == ("a", "b")
    assert a.peers.addresses == b.node.listen
    assert b.peers.addresses == a.node.listen


class TestTheService:
    @pytest.fixture
    def service(self):
        # systemd.syntax(7) is that of .ini files.
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.optionxform = str
        parser.read(CONF / "trionode.service")
        return parser["Service"]

    def test_has_time_to_drain_before_it_is_killed(self, service):
        assert int(service["TimeoutStopSec"]) > Config().node.drain_timeout_s
        assert service["KillSignal"] == "SIGTERM"

    def test_has_a_state_directory_which_the_node_uses(self, service):
        state = f"/var/lib/{service['StateDirectory']}"
        assert load(None, {STATE_VARIABLE: state}, {}).node.data_dir == state

    def test_is_started_again_when_it_fails(self, service):
        assert service["Restart"] == "on-failure"

    def test_may_open_more_files_than_the_node_has_connections(self, service):
        assert int(service["LimitNOFILE"]) > Config().limits.max_connections
