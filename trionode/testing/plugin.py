"""The pytest plugin: the fixture `trionode_mesh`, for tests of services against real nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def trionode_mesh() -> Callable[..., Any]:
    """`trionode.testing.mesh`, imported when a test asks for it.

    `async with trionode_mesh(2) as nodes, nodes.connect(nodes[0]) as client: ...`
    """
    from trionode.testing import mesh  # noqa: PLC0415  # a plugin is imported by every pytest run

    return mesh
