"""Settles at a node: results that come with an ack, and when an answer may be given."""

from __future__ import annotations

import json

import pytest
import trio

from tests.support.kept_store import KeptStore
from tests.support.wires import frame_client
from trionode.config import Config, Limits
from trionode.errors import Refused, Status
from trionode.ids import format_id, from_runs, object_id
from trionode.node.producing import PUSH_OBJECTS_MAX
from trionode.schema.definition import Definition
from trionode.schema.fingerprint import fingerprint
from trionode.store import StoreError
from trionode.testing import mesh
from trionode.wire import frames

MIB = 1024 * 1024
EMITTER = 9
SMALL = Config(limits=Limits(memory_bytes=MIB, max_object_bytes=MIB // 2, push_high_water=0.9))
LARGE = bytes(400_000)
SCHEMA = json.dumps({"type": "object", "required": ["to"]})


async def leased(client, count: int = 1, producer: int = EMITTER):
    """A consumer that has leased objects of type A, and the delivery."""
    await client.push("A", *[b"x"] * count)
    consumer = await client.consumer(producer)
    await consumer.subscribe("A", credit=count)
    return consumer, await consumer.hear(frames.Deliver)


def acking(delivered, *emitted: frames.Emission, **more) -> frames.Settle:
    return frames.Settle(
        100, "ack", delivered.ids, delivered.attempts, emitted=list(emitted), **more
    )


def mail(first: int, *payloads: bytes, parent: int = 0, encoding="raw", **more) -> frames.Emission:
    return frames.Emission(parent, "Mail", first, list(payloads), encoding, **more)


async def answer(consumer, settle: frames.Settle) -> frames.Answered:
    consumer.say(settle)
    return await consumer.hear(frames.Answered)


async def test_results_are_objects_with_the_emitters_ids_and_their_parents(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        consumer, delivered = await leased(client, 2)
        settle = acking(delivered, mail(1, b"a"), mail(2, b"b", b"c", parent=1))
        assert await answer(consumer, settle) == frames.Answered(100)
        await consumer.subscribe("Mail", number=2)
        mails = await consumer.hear(frames.Deliver)
        assert mails.ids == [(object_id(EMITTER, 1), 3)]
        parents = [format_id(id_) for id_ in from_runs(delivered.ids)]
        assert [mails.details[index]["parent"] for index in range(3)] == [
            parents[0],
            parents[1],
            parents[1],
        ]


async def test_results_are_taken_at_a_full_node_while_pushes_are_held_back(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        consumer, delivered = await leased(client)
        await client.push("B", LARGE, LARGE, producer=2)
        producer = await client.producer(3)
        producer.say(frames.Push("B", 1, [LARGE], encoding="raw"))
        assert await producer.is_silent()
        before = trio.current_time()
        settle = acking(delivered, mail(1, LARGE, LARGE, LARGE))
        assert await answer(consumer, settle) == frames.Answered(100)
        assert trio.current_time() == before
        assert nodes[0].status()["types"]["Mail"]["ready"] == 3
        assert await producer.is_silent()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (mail(2, b"nonsense", encoding="json"), "JSON"),
        (mail(2, bytes(MIB)), "at most"),
        (mail(2, b"", details={0: {"priority": 10}}), "priority 10"),
        (frames.Emission(0, "no name!", 2, [b""], "raw"), "type"),
    ],
)
async def test_a_bad_result_refuses_the_settle_and_the_lease_stays(autojump_clock, bad, words):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        consumer, delivered = await leased(client)
        refusal = await answer(consumer, acking(delivered, mail(1, b"good"), bad))
        assert refusal.status is Status.INVALID_ARGUMENT
        assert words in refusal.message
        types = nodes[0].status()["types"]
        assert (types["A"]["leased"], "Mail" in types) == (1, False)
        assert await answer(consumer, acking(delivered, mail(1, b"good"))) == frames.Answered(100)


@pytest.mark.parametrize(
    ("producer", "emitted", "words"),
    [
        (0, mail(1, b""), "producer id"),
        (EMITTER, mail(1, *[b""] * (PUSH_OBJECTS_MAX + 1)), "65536"),
    ],
)
async def test_results_that_nobody_may_say_end_the_stream(autojump_clock, producer, emitted, words):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        consumer, delivered = await leased(client, producer=producer)
        with pytest.raises(Refused, match=words):
            await answer(consumer, acking(delivered, emitted))
        assert list(nodes[0].status()["types"]) == ["A"]


async def test_definitions_of_results_are_learnt_and_kept_with_them(autojump_clock):
    store = KeptStore()
    definition = Definition("Mail", fingerprint(SCHEMA), SCHEMA)
    good = mail(1, b'{"to":"x"}', encoding="json", fingerprint=definition.fingerprint)
    bad = mail(1, b"{}", encoding="json", fingerprint=definition.fingerprint)
    async with mesh(1, store=lambda _: store) as nodes, frame_client(nodes[0]) as client:
        consumer, delivered = await leased(client)
        refusal = await answer(consumer, acking(delivered, bad, definitions=[definition]))
        assert "to" in refusal.message
        found = await answer(consumer, acking(delivered, good, definitions=[definition]))
        assert found == frames.Answered(100)
        kept = [each for batch in store.batches for each in batch.definitions]
        assert kept == [definition]
        assert store.kept == {object_id(EMITTER, 1)}


async def test_a_definition_that_contradicts_what_is_known_refuses_the_settle(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        known = frames.DefineRequest("Mail", SCHEMA)
        await client.ask(frames.DEFINE, known, frames.DefineReply)
        consumer, delivered = await leased(client)
        other = json.dumps({"type": "string"})
        definition = Definition("Mail", fingerprint(other), other)
        settle = acking(
            delivered,
            mail(1, b'"x"', encoding="json", fingerprint=definition.fingerprint),
            definitions=[definition],
        )
        assert (await answer(consumer, settle)).status is Status.FAILED_PRECONDITION
        assert nodes[0].status()["types"]["A"]["leased"] == 1


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("nack", {}),
        ("reject", {}),
        ("replace", {"payloads": [b"new"], "encoding": "raw"}),
        ("ack", {"emitted": [mail(1, b"m")]}),
    ],
)
async def test_what_lasts_is_answered_when_it_is_in_the_store(autojump_clock, action, more):
    store = KeptStore()
    async with mesh(1, store=lambda _: store) as nodes, frame_client(nodes[0]) as client:
        consumer, delivered = await leased(client)
        store.failure = StoreError("the disk is full")
        consumer.say(frames.Settle(100, action, delivered.ids, delivered.attempts, **more))
        while not await consumer.is_silent():
            pass  # what was replaced is delivered again: delivery waits for no disk
        assert not any(isinstance(frame, frames.Answered) for frame in consumer.heard)
        batches = len(store.batches)
        store.failure = None
        assert await consumer.hear(frames.Answered) == frames.Answered(100)
        assert len(store.batches) == batches + 1


async def test_a_plain_ack_is_answered_at_once(autojump_clock):
    store = KeptStore()
    async with mesh(1, store=lambda _: store) as nodes, frame_client(nodes[0]) as client:
        consumer, delivered = await leased(client)
        store.failure = StoreError("the disk is full")
        before = trio.current_time()
        assert await consumer.settle(delivered) == frames.Answered(100)
        assert trio.current_time() == before
        store.failure = None
