"""Runs every async test under trio, each in an event loop of its own; sets hypothesis up.

Every test has the names of types for itself: two files may have a class Order.
"""

import hypothesis
import pytest
from pytest_trio.enable_trio_mode import *  # noqa: F403  # the documented way to turn it on

from trionode.client import types

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile(
    "trionode", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("trionode")


@pytest.fixture(autouse=True)
def own_types(monkeypatch):
    monkeypatch.setattr(types, "_owners", {})
