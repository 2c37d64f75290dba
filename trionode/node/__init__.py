"""A running node: supervision, effects turned into I/O, the rebalancer, signals, drain."""

from trionode.node.node import Node, NodeFailed
from trionode.node.process import run_node

__all__ = ["Node", "NodeFailed", "run_node"]
