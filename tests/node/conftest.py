"""What tests of nodes share."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.support.stores import QUICK_FOLDER, InlineSqliteStore
from trionode.testing.nodes import MeshUnderTest


@pytest.fixture(params=["memory", "sqlite"])
def each_store(request, monkeypatch):
    """Runs a test once with each kind of store under its meshes."""
    if request.param == "memory":
        yield request.param
        return
    with tempfile.TemporaryDirectory(dir=QUICK_FOLDER) as folder:

        def make_store(mesh: MeshUnderTest, name: str) -> InlineSqliteStore:
            return InlineSqliteStore(Path(folder) / name, name, mesh.random.randbytes)

        monkeypatch.setattr(MeshUnderTest, "make_store", make_store)
        yield request.param
