"""Nothing that was acknowledged is lost, however often nodes are killed; see `kill_rounds`."""

from __future__ import annotations

import os

import trio

from tests.e2e.kill_rounds import kill_rounds

ROUNDS = int(os.environ.get("TRIONODE_TEST_KILL_ROUNDS", "6"))
SEED = int(os.environ.get("TRIONODE_TEST_SEED", "1"))


async def test_nothing_acknowledged_is_lost_by_kills_under_load(tmp_path):
    with trio.fail_after(180 + 10 * ROUNDS):
        ledger = await kill_rounds(tmp_path, ROUNDS, SEED)
    assert ledger.kills >= ROUNDS
    assert len(ledger.acknowledged) > 20 * ROUNDS
    assert ledger.lost == set()
    assert ledger.left == 0
    assert ledger.damaged == 0
