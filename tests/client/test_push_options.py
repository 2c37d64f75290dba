"""Options of a push: what they become, what is refused, what is left of times when they travel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest
import trio

from tests.support.nodes import one_client
from trionode.client.producer_core import PendingPush, ProducerCore, Shape
from trionode.client.properties import properties_of
from trionode.testing import mesh
from trionode.wire import frames


@attrs.frozen
class Order:
    number: int


def test_no_options_are_no_properties():
    assert properties_of(7.0, {}) is None
    nothing = {"delay": None, "keep_expired": False, "priority": None, "key": None}
    assert properties_of(7.0, nothing) is None


def test_options_become_properties_with_times_on_the_clients_clock():
    options = {
        "delay": 2.5,
        "deadline": timedelta(minutes=1),
        "keep_expired": True,
        "priority": 0,
        "key": "k",
        "ordering_key": "o",
    }
    assert properties_of(100.0, options) == {
        "due": 102.5,
        "deadline": 160.0,
        "keep_expired": True,
        "priority": 0,
        "key": "k",
        "ordering_key": "o",
    }


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"delay": timedelta(seconds=30)}, "due"),
        ({"not_before": timedelta(seconds=30)}, "due"),
        ({"deadline": timedelta(seconds=30)}, "deadline"),
    ],
)
def test_durations_count_from_now(options, name):
    assert properties_of(100.0, options) == {name: 130.0}


@pytest.mark.parametrize(("option", "name"), [("not_before", "due"), ("deadline", "deadline")])
def test_moments_in_any_time_zone_count_from_now_and_those_gone_by_are_now(option, name):
    ahead = (datetime.now(UTC) + timedelta(hours=1)).astimezone()
    assert properties_of(100.0, {option: ahead})[name] == pytest.approx(3700.0, abs=30)
    gone = datetime.now(UTC) - timedelta(hours=1)
    assert properties_of(100.0, {option: gone})[name] == 100.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"not_before": datetime(2031, 1, 1)}, "not_before has no time zone"),  # noqa: DTZ001  # the mistake
        ({"deadline": datetime(2031, 1, 1)}, "deadline has no time zone"),  # noqa: DTZ001  # the mistake
        ({"delay": -1}, "delay is a duration from 0 on"),
        ({"delay": float("nan")}, "delay is a duration"),
        ({"delay": float("inf")}, "delay is a duration"),
        ({"deadline": timedelta(seconds=-1)}, "deadline is a duration"),
        ({"delay": 1, "not_before": timedelta(0)}, "give one of them"),
        ({"delay": 2, "deadline": timedelta(seconds=1)}, "before the moment of the first"),
        ({"keep_expired": True}, "give one"),
        ({"priority": 10}, "from 0 to 9, not 10"),
        ({"priority": -1}, "from 0 to 9"),
        ({"priority": True}, "from 0 to 9"),
        ({"key": ""}, "key has 1 to 256 bytes in UTF-8, not 0"),
        ({"key": "ü" * 129}, "not 258"),
        ({"key": "\ud800"}, "key is no text in Unicode"),
        ({"ordering_key": "x" * 257}, "ordering_key has 1 to 256"),
    ],
)
def test_values_that_cannot_be_are_refused_with_the_options_name(options, message):
    with pytest.raises(ValueError, match=message):
        properties_of(0.0, options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": "1"}, "delay is a number of seconds or a timedelta, not str"),
        ({"delay": True}, "not bool"),
        ({"not_before": 3}, "not_before is a datetime or a timedelta, not int"),
        ({"deadline": "2031-01-01"}, "not str"),
        ({"key": 5}, "key is a text, not int"),
        ({"keep_expired": 1}, "keep_expired is True or False"),
        ({"dely": 5}, "no option 'dely'; it has delay, not_before"),
    ],
)
def test_values_of_another_type_are_refused(options, message):
    with pytest.raises(TypeError, match=message):
        properties_of(0.0, options)


# --- what travels -------------------------------------------------------------------------------


def frames_at(core: ProducerCore, now: float) -> list[frames.Push]:
    return core.next_frames(10_000, now)[0]


def test_what_is_left_of_times_travels_also_when_a_push_is_sent_again():
    core = ProducerCore(bytes(10))
    core.open_stream()
    for details in (None, {"due": 10.0, "deadline": 20.0, "priority": 3}, None):
        core.push(PendingPush(Shape("A"), b"", details=details))
    (first,) = frames_at(core, 4.0)
    assert first.details == {1: {"delay_ms": 6000, "deadline_ms": 16_000, "priority": 3}}
    core.open_stream()
    (again,) = frames_at(core, 12.0)
    assert again.details == {1: {"delay_ms": 0, "deadline_ms": 8000, "priority": 3}}


async def test_one_push_and_pushes_in_bulk_say_their_options(autojump_clock):
    async with one_client() as (node, client):
        await client.push(Order(1), priority=7, key="k")
        async with client.pusher(Order) as pusher:
            await pusher.send(Order(2))
            await pusher.send(Order(3), delay=5)
        details = [
            frame.details.get(index, {})
            for frame in node.told(frames.Push)
            for index in range(len(frame.payloads))
        ]
        assert details == [{"priority": 7, "key": "k"}, {}, {"delay_ms": 5000}]


async def test_a_bad_option_raises_before_anything_is_pushed(autojump_clock):
    async with one_client() as (node, client), client.pusher(Order) as pusher:
        with pytest.raises(ValueError, match="priority"):
            await client.push(Order(1), priority=11)
        with pytest.raises(ValueError, match="delay"):
            await pusher.send(Order(1), delay=-1)
        assert node.pushed == []


async def test_a_delayed_object_comes_when_its_time_has_come(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe(Order) as deliveries,
    ):
        begun = trio.current_time()
        await client.push(Order(1), delay=3600)
        await client.push(Order(2), priority=8, deadline=timedelta(hours=2))
        now = await anext(deliveries)
        assert (now.object, now.priority, now.version, now.parent) == (Order(2), 8, 1, None)
        assert now.details["deadline_ms"] == pytest.approx(7_200_000, abs=1000)
        later = await anext(deliveries)
        assert (later.object, later.priority) == (Order(1), 5)
        assert trio.current_time() - begun == pytest.approx(3600, abs=1)
