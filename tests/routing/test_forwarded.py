"""The bounded memory of where objects went."""

from __future__ import annotations

from tests.support.brains import Mesh
from trionode.routing.forwarded import Forwarded


def test_the_last_way_of_an_object_is_found():
    forwarded = Forwarded()
    forwarded.gave("b", [1, 2, 3, 7], 10.0)
    forwarded.gave("c", [2], 20.0)
    found = {id_: (entry and entry.peer) for id_ in range(9) for entry in [forwarded.find(id_)]}
    assert found == {0: None, 1: "b", 2: "c", 3: "b", 4: None, 5: None, 6: None, 7: "b", 8: None}


def test_only_the_last_objects_are_remembered():
    forwarded = Forwarded(limit=10)
    for start in range(0, 100, 4):
        forwarded.gave("b", [start, start + 1, start + 2, start + 3], float(start))
    assert len(forwarded) <= 10
    assert forwarded.find(99) is not None
    assert forwarded.find(1) is None


def test_a_giver_remembers_what_was_accepted_and_not_what_was_refused():
    mesh = Mesh("a", "b")
    mesh.link("a", "b")
    far = mesh["b"].consumer("A", credit=5)
    ids = mesh["a"].push("A", count=8)
    mesh.wait(3)
    gone = far.ids()
    assert len(gone) == 5
    forwarded = mesh["a"].brain.givings.forwarded
    assert [id_ for id_ in ids if forwarded.find(id_)] == sorted(gone)
