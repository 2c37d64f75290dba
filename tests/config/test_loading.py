"""Where a configuration's values come from, and which source wins."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from trionode.config import Config, Node, Peers, load
from trionode.config.checks import name_from_host
from trionode.errors import ConfigurationError


@pytest.fixture
def file(tmp_path):
    """Write a file of configuration; gives its path."""

    def write(text):
        path = tmp_path / "node.toml"
        path.write_text(text)
        return path

    return write


def test_without_any_source_every_value_is_its_default():
    config = load(None, {}, {})
    machine = Node(name=config.node.name, data_dir=config.node.data_dir)
    assert config == Config(node=machine)
    assert set(config.origins) == {"node.name", "node.data_dir"}


def test_an_empty_file_changes_nothing(file):
    assert load(file(""), {}, {}) == load(None, {}, {})


def test_a_file_sets_values_of_every_type(file):
    path = file(
        '[node]\nname = "n1"\nlisten = ["127.0.0.1:0", "[::1]:7400"]\n'
        "[peers]\ndiscovery = false\n"
        "[routing]\nmax_hops = 3\ntransfer_after_s = 2\n"
        "[limits]\npush_high_water = 0.5\n"
    )
    config = load(path, {}, {})
    assert config.node.name == "n1"
    assert config.node.listen == ("127.0.0.1:0", "[::1]:7400")
    assert config.peers.discovery is False
    assert config.routing.max_hops == 3
    assert config.routing.transfer_after_s == 2.0
    assert isinstance(config.routing.transfer_after_s, float)
    assert config.limits.push_high_water == 0.5
    assert config.origins["node.name"] == str(path)


def test_variables_set_values_of_every_type():
    environ = {
        "TRIONODE_CONF_NODE__NAME": "n1",
        "TRIONODE_CONF_NODE__LISTEN": "127.0.0.1:1, 127.0.0.1:2",
        "TRIONODE_CONF_PEERS__DISCOVERY": "FALSE",
        "TRIONODE_CONF_ROUTING__MAX_HOPS": "3",
        "TRIONODE_CONF_ROUTING__TRANSFER_AFTER_S": "2.5",
    }
    config = load(None, environ, {})
    assert config.node.name == "n1"
    assert config.node.listen == ("127.0.0.1:1", "127.0.0.1:2")
    assert config.peers.discovery is False
    assert config.routing.max_hops == 3
    assert config.routing.transfer_after_s == 2.5
    assert config.origins["routing.max_hops"] == "variable TRIONODE_CONF_ROUTING__MAX_HOPS"


def test_an_empty_variable_empties_a_list(file):
    path = file('[peers]\naddresses = ["a:1"]\n')
    assert load(path, {"TRIONODE_CONF_PEERS__ADDRESSES": ""}, {}).peers.addresses == ()


def test_other_variables_are_left_alone():
    environ = {"TRIONODE_PORT": "tcp://10.0.0.1:7400", "TRIONODE_NODE": "a:1", "CONF_X": "1"}
    assert load(None, environ, {}) == load(None, {}, {})


def test_flags_win_over_variables_and_variables_over_the_file(file):
    path = file('[node]\nname = "file"\ndata_dir = "/file"\nlisten = ["f:1"]\n')
    environ = {"TRIONODE_CONF_NODE__NAME": "variable", "TRIONODE_CONF_NODE__DATA_DIR": "/variable"}
    node = load(path, environ, {"--name": "flag"}).node
    assert (node.name, node.data_dir, node.listen) == ("flag", "/variable", ("f:1",))


def test_flags_set_what_they_stand_for():
    flags = {
        "--name": "n1",
        "--listen": "127.0.0.1:0",
        "--data-dir": Path("/data"),
        "--peer": ("a:1", "b:2"),
        "--memory": True,
    }
    config = load(None, {}, flags)
    assert config.node == Node(name="n1", listen=("127.0.0.1:0",), data_dir="/data")
    assert config.peers == Peers(addresses=("a:1", "b:2"))
    assert config.store.kind == "memory"
    assert config.origins == {
        "node.name": "flag --name",
        "node.listen": "flag --listen",
        "node.data_dir": "flag --data-dir",
        "peers.addresses": "flag --peer",
        "store.kind": "flag --memory",
    }


def test_flags_that_were_not_given_override_nothing(file):
    path = file('[node]\nname = "n1"\n[peers]\naddresses = ["a:1"]\n')
    flags = {"--name": None, "--listen": None, "--peer": (), "--memory": False}
    config = load(path, {}, flags)
    assert config.node.name == "n1"
    assert config.peers.addresses == ("a:1",)


def test_a_flag_that_stands_for_no_key_is_a_mistake_of_the_caller():
    with pytest.raises(KeyError):
        load(None, {}, {"--port": "1"})


class TestTheName:
    def test_is_the_machines_unless_given(self, monkeypatch):
        monkeypatch.setattr(socket, "gethostname", lambda: "worker-7.example.org")
        config = load(None, {}, {})
        assert config.node.name == "worker-7.example.org"
        assert config.origins["node.name"] == "this machine's name"

    @pytest.mark.parametrize(
        ("host", "name"),
        [("my host", "my-host"), ("böx", "b-x"), ("", "node"), ("x" * 300, "x" * 100)],
    )
    def test_of_an_odd_machine_is_made_to_fit(self, host, name):
        assert Node(name=name_from_host(host)).name == name


class TestTheDataDirectory:
    def test_is_the_one_that_systemd_gives(self):
        config = load(None, {"STATE_DIRECTORY": "/var/lib/trionode"}, {"--name": "n1"})
        assert config.node.data_dir == "/var/lib/trionode"
        assert config.origins["node.data_dir"] == "variable STATE_DIRECTORY"

    def test_is_the_first_of_several_that_systemd_gives(self):
        config = load(None, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, {})
        assert config.node.data_dir == "/var/lib/a"

    def test_is_else_in_the_users_state_directory_under_the_nodes_name(self, monkeypatch):
        monkeypatch.setenv("XDG_STATE_HOME", "/state")
        config = load(None, {}, {"--name": "n1"})
        assert config.node.data_dir == "/state/trionode/n1"

    def test_that_is_configured_wins_over_both(self):
        config = load(None, {"STATE_DIRECTORY": "/s"}, {"--data-dir": "/data"})
        assert config.node.data_dir == "/data"

    def test_that_systemd_gives_is_checked_like_any(self):
        with pytest.raises(
            ConfigurationError, match=r"variable STATE_DIRECTORY: node\.data_dir is"
        ):
            load(None, {"STATE_DIRECTORY": "/a\nb"}, {})
