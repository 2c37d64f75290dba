"""What is shown of a configuration."""

from __future__ import annotations

import tomllib

import attrs
import pytest

from trionode.config import Config, Logging, Node, Peers, changed_keys, describe, load
from trionode.config.sections import SECTIONS, fields_of


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text('[peers]\naddresses = ["a:1"]\ndiscovery = false\n')
    environ = {"TRIONODE_CONF_LOGGING__LEVEL": "debug"}
    return load(path, environ, {"--name": "n1", "--data-dir": '/a "b" \\ ü'})


def test_every_value_is_shown_with_where_it_came_from(config):
    lines = describe(config).splitlines()
    assert 'name = "n1"  # flag --name' in lines
    assert 'level = "debug"  # variable TRIONODE_CONF_LOGGING__LEVEL' in lines
    assert "max_hops = 8  # default" in lines
    shown = [line for line in lines if line.startswith('addresses = ["a:1"]  # ')]
    assert shown[0].endswith("/node.toml")


def test_every_section_and_key_is_shown(config):
    shown = tomllib.loads(describe(config))
    assert {section: list(keys) for section, keys in shown.items()} == {
        section: list(fields_of(section)) for section in SECTIONS
    }


def test_what_is_shown_loads_to_the_same_configuration(config, tmp_path):
    path = tmp_path / "shown.toml"
    path.write_text(describe(config))
    assert load(path, {}, {}) == config


def test_a_path_with_odd_characters_does_not_break_what_is_shown():
    text = describe(Config(origins={"node.name": "a\nb\x1b"}))
    assert 'name = ""  # a?b?' in text.splitlines()


def test_what_differs_between_two_configurations_is_named_by_key():
    old = Config()
    new = attrs.evolve(old, logging=Logging(level="debug"), peers=Peers(addresses=("a:1",)))
    assert changed_keys(old, new) == ("peers.addresses", "logging.level")
    assert changed_keys(old, attrs.evolve(old, node=Node())) == ()
