"""Offers as frames: what neighbours have in common is told once, and read as one value."""

from trionode.ids import object_id
from trionode.node import offering
from trionode.routing import effects
from trionode.routing.custody import TypeTable
from trionode.routing.model import HeldObject, Shape
from trionode.wire.codec import MESSAGEPACK

GIVEN_AT, TAKEN_AT = 100.0, 7.0
"""The clocks of two nodes; no time passes on the way."""
WAY = {"path": ("a",), "hops": 1, "history": ((98.0, "received", "b", "", 1, "from node a"),)}
URGENT = {"priority": 9, "deadline": 160.0}


def offered(*rare, created=98.5):
    """What an offer of objects with these properties is to its receiver, and its frame."""
    table = TypeTable("T")
    objects = [
        HeldObject(object_id(7, 1 + i), table, b"x", Shape(), created, created, details=each)
        for i, each in enumerate(rare)
    ]
    effect = effects.SendOffer(1, 1, "T", 1, "T", objects, draining=False)
    frame = MESSAGEPACK.decode(MESSAGEPACK.encode(offering.offer(effect, [], GIVEN_AT)))
    return offering.offer_came(frame, 1, TAKEN_AT), frame


def test_the_way_that_all_objects_of_an_offer_came_is_told_once():
    event, frame = offered(*[WAY] * 500)
    assert len(frame.shared) == 1
    assert frame.details == {}
    assert len({id(each) for each in event.details.values()}) == 1
    history = ((TAKEN_AT - 2.0, *WAY["history"][0][1:]),)
    assert event.details == {index: {**WAY, "history": history} for index in range(500)}


def test_each_object_has_its_own_properties_whoever_its_neighbours_are():
    event, frame = offered(None, URGENT, WAY, WAY, None, URGENT, URGENT, WAY, dict(URGENT))
    assert [each[:2] for each in frame.shared] == [(2, 2), (5, 2)]
    assert sorted(frame.details) == [1, 7, 8]
    urgent = {"priority": 9, "deadline": TAKEN_AT + 60.0}
    assert {i for i, each in event.details.items() if each == urgent} == {1, 5, 6, 8}
    assert {i for i, each in event.details.items() if each.get("path") == ("a",)} == {2, 3, 7}


def test_objects_are_as_old_at_the_receiver_as_they_were_at_the_giver():
    assert offered(None, None)[0].ages_s == [1.5, 1.5]
    assert offered(None, created=GIVEN_AT + 1)[0].ages_s == [0.0]
