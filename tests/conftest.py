"""Runs every async test under trio, each in an event loop of its own; sets hypothesis up."""

import hypothesis
from pytest_trio.enable_trio_mode import *  # noqa: F403  # the documented way to turn it on

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile(
    "trionode", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("trionode")
