"""What users' own tests import: real nodes in one process, over streams in memory.

Under trio's `MockClock` with autojump, a test of timeouts and back-off takes no time.
"""

from trionode.testing.mesh import MeshUnderTest, NodeUnderTest, mesh
from trionode.testing.network import MemoryNetwork

__all__ = ["MemoryNetwork", "MeshUnderTest", "NodeUnderTest", "mesh"]
