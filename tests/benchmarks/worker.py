"""One process of a peer's run: `python -m tests.benchmarks.worker SYSTEM produce|consume LOAD`.

When it has ended its part it says what it measured as a line of JSON on stdout.
"""

from __future__ import annotations

import asyncio
import json
import sys

from tests.benchmarks.systems import SYSTEMS
from tests.benchmarks.systems.base import Load, Run


async def produce(key: str, load: Load) -> dict[str, int]:
    run = Run(0)
    await SYSTEMS[key].produce(load, run)
    run.end()
    return {"began_ns": run.began_ns, "ended_ns": run.ended_ns}


async def consume(key: str, load: Load) -> dict[str, int]:
    run = Run(load.count)
    left = await SYSTEMS[key].consume(load, run)
    tally = run.tally
    return {
        "ended_ns": run.ended_ns,
        "left": left,
        "missing": tally.missing,
        "duplicates": tally.duplicates,
        "strangers": tally.strangers,
    }


if __name__ == "__main__":
    _, key, job, text = sys.argv
    work = produce if job == "produce" else consume
    print(json.dumps(asyncio.run(work(key, Load(**json.loads(text))))), flush=True)
