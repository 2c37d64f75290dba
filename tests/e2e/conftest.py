"""Nodes that tests share. Each test uses types of its own, so they don't see each other."""

from __future__ import annotations

import secrets

import pytest

from tests.support.processes import node_process, trionode


@pytest.fixture(scope="session")
def pair():
    """Two linked nodes that nobody may stop."""
    with node_process("n1") as one, node_process("n2", "--peer", one.address) as two:
        assert trionode("ping", "--wait", "20", "--node", one.address).returncode == 0
        yield one, two


@pytest.fixture(scope="session")
def durable_pair(tmp_path_factory):
    """The same with SQLite stores."""
    paths = [str(tmp_path_factory.mktemp(name)) for name in ("n1", "n2")]
    with (
        node_process("n1", "--data-dir", paths[0]) as one,
        node_process("n2", "--data-dir", paths[1], "--peer", one.address) as two,
    ):
        yield one, two


@pytest.fixture(params=["memory", "sqlite"])
def each_pair(request):
    """Two linked nodes, once with each kind of store."""
    return request.getfixturevalue("pair" if request.param == "memory" else "durable_pair")


@pytest.fixture(scope="session")
def node(pair):
    """One node that nobody may stop."""
    return pair[0]


@pytest.fixture
def kind():
    """The name of a type that no other test uses."""
    return f"T{secrets.token_hex(4)}"
