"""The node's brain: which object goes where, who has custody, who holds a lease.

Pure: no I/O, clock, randomness or logging. Events go in with the monotonic time `now`, effects come
out; whoever runs the brain (the node, the simulator, a test) carries the effects out.
"""

from trionode.routing.brain import Brain
from trionode.routing.options import RoutingOptions

__all__ = ["Brain", "RoutingOptions"]
