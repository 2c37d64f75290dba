"""Connections over trio: one reader and one writer task each, gRPC calls, listening and dialling.

All I/O of the wire is here; what the bytes mean is in `trionode.wire`.
"""
