"""One seed, one trace: on any machine and Python."""

from __future__ import annotations

import subprocess
import sys

import attrs
import pytest

from trionode.simulation.generator import Generator
from trionode.simulation.settings import Settings
from trionode.simulation.simulation import Simulation

SMALL = Settings(nodes=5, seed=11, minutes=0.5, objects=200)
RUN = (
    "from trionode.simulation.simulation import Simulation;"
    "from trionode.simulation.settings import Settings;"
    "w = Simulation(Settings(nodes=5, seed=11, minutes=0.5, objects=200)); w.run();"
    "print(w.trace.digest())"
)


def digest(settings: Settings) -> str:
    simulation = Simulation(settings)
    simulation.run()
    return simulation.trace.digest()


def test_the_generator_gives_the_published_numbers_of_splitmix64():
    generator = Generator(1234567)
    assert [generator.bits() for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_forks_of_a_generator_are_independent_of_what_it_draws_later():
    one, other = Generator(5), Generator(5)
    fork = one.fork(3)
    assert fork.bits() == other.fork(3).bits()
    assert one.bits() == other.bits()


def test_draws_stay_within_their_bounds():
    generator = Generator(9)
    for _ in range(2000):
        assert 0.0 <= generator.unit() < 1.0
        assert 0 <= generator.below(7) < 7
        assert 2.0 <= generator.between(2.0, 3.0) < 3.0
        assert generator.wait(4.0) > 0.0


def test_the_mean_of_waits_is_about_what_was_asked_for():
    generator = Generator(10)
    mean = sum(generator.wait(4.0) for _ in range(20_000)) / 20_000
    assert 3.0 < mean < 5.0


def test_a_shuffle_keeps_all_items():
    items = list(range(50))
    Generator(3).shuffle(items)
    assert items != list(range(50))
    assert sorted(items) == list(range(50))


@pytest.mark.parametrize("hash_seed", ["0", "1", "2718"])
def test_the_trace_does_not_depend_on_the_hashes_of_a_process(hash_seed):
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": hash_seed},
    )
    assert done.stdout.strip() == digest(SMALL)


PINNED = Settings(nodes=2, seed=7, minutes=0.1, objects=12, types=1, faults=())
PINNED_TRACE = "d6f725dc0cfb05789164a9ca9279856d"
"""Found alike with Python 3.11, 3.12 and 3.13. Routing, clients and the trace itself change it.

To pin it anew, if that was meant to change, run this with each of them and enter what it prints:

    trionode simulate --nodes 2 --seed 7 --minutes 0.1 --objects 12 --types 1 --faults none
"""


def test_a_run_gives_the_trace_that_other_machines_and_pythons_gave():
    found = digest(PINNED)
    assert found == PINNED_TRACE, "if what nodes or clients do was changed on purpose, pin this one"


def test_keeping_and_checking_more_does_not_change_the_trace():
    wanted = digest(SMALL)
    assert digest(attrs.evolve(SMALL, every=True, keep_trace=100)) == wanted


def test_another_seed_gives_another_trace():
    assert digest(attrs.evolve(SMALL, seed=12)) != digest(SMALL)
