"""What users' own tests import: real nodes in one process, over streams in memory.

Under trio's `MockClock` with autojump, a test of timeouts and back-off takes no time.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trionode.testing.network import MemoryNetwork
    from trionode.testing.nodes import MeshUnderTest, NodeUnderTest, mesh

__all__ = ["MemoryNetwork", "MeshUnderTest", "NodeUnderTest", "mesh"]


def __getattr__(name: str) -> object:
    # The plugin is imported by every run of pytest, which may need neither trio nor a node.
    if name in __all__:
        from trionode.testing import network, nodes  # noqa: PLC0415  # see above

        return getattr(network if name == "MemoryNetwork" else nodes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
