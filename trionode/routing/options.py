"""The numbers that shape routing, as one frozen value."""

from __future__ import annotations

import attrs


@attrs.frozen
class RoutingOptions:
    """Timings and bounds of the routing rules; the defaults are those of the design.

    Attributes:
        transfer_after_s: after the last local subscription of a type went, how long its objects
            wait before they are transferred, so that a worker's restart ships nothing away (R2).
        overflow_after_s: how long an object waits for local credit before it may overflow to a
            peer; doubled with each hop (R3).
        overflow_cap_s: the longest that back-off grows.
        relay_window: objects per type that a relay holds for others (R5).
        max_hops: the longest path that interest travels (R5).
        in_doubt_timeout_s: how long an offer without an answer waits for its peer's return (R8).
        giver_forgotten_after_s: how long the numbers of offers taken from a node without a durable
            store are kept without a link to it (R8); much longer than `in_doubt_timeout_s`.
        credit_withdraw_after_s: unspent link credit is taken back after this (R4).
        allow_volatile: a durable node may give objects to one without a durable store (R2).
        max_attempts: counted attempts after which an object is a dead letter (G5).
        max_processing_s: how long a consumer may have a delivery (G4); 0: as long as it lives.
        retry_base_s: back-off before the second attempt after a nack without a delay; doubles.
        retry_cap_s: the longest that back-off grows.
        max_held_bytes: what held objects may take in memory (`Custody.memory_bytes`); beyond,
            offers are taken one object at a time.
        stream_bytes: payload bytes that all subscriptions of one consumer stream together may have
            unsettled; a larger object is delivered alone.
        payload_limit_bytes: payload bytes beyond which a durable node leaves payloads to its store.
        producers_remembered: how many producers' accepted sequences are kept (R11).
        key_window_s: how long a push with the key of an earlier one means the object of that one.
        keys_remembered: how many keys of pushes are kept; beyond it the oldest are forgotten first.
    """

    transfer_after_s: float = 1.0
    overflow_after_s: float = 0.1
    overflow_cap_s: float = 60.0
    relay_window: int = 1024
    max_hops: int = 8
    in_doubt_timeout_s: float = 30.0
    giver_forgotten_after_s: float = 3600.0
    credit_withdraw_after_s: float = 1.0
    allow_volatile: bool = False
    max_attempts: int = 8
    max_processing_s: float = 0.0
    retry_base_s: float = 0.1
    retry_cap_s: float = 60.0
    max_held_bytes: int = 1 << 30
    stream_bytes: int = 1 << 25
    payload_limit_bytes: int = 1 << 28
    producers_remembered: int = 100_000
    key_window_s: float = 600.0
    keys_remembered: int = 1_000_000
