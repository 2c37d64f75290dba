"""Runs every async test under trio, with a fresh event loop each."""

from pytest_trio.enable_trio_mode import *  # noqa: F403  # the documented way to turn it on
