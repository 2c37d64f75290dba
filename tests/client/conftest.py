"""Every test has the names of types for itself: two files may have a class Order."""

import pytest

from trionode.client import types


@pytest.fixture(autouse=True)
def own_types(monkeypatch):
    monkeypatch.setattr(types, "_owners", {})
