"""What all answers together say of an object: nothing that those who were silent could belie."""

from __future__ import annotations

import pytest

from trionode.inspection.explaining import ENDED, NodeReply, explained
from trionode.inspection.known import KnownNode
from trionode.inspection.searches import silent_among
from trionode.wire.link_frames import Reply

ONE, TWO, THREE = (KnownNode(f"{n}" * 32, f"n{n}", f"10.0.0.{n}:7400") for n in (1, 2, 3))
NOTHING = {"held": None, "left": None, "given": None, "accepted": False, "resolved": False}
HEDGE = "or it is at a node that did not answer"


def said_by(who: KnownNode, **known) -> NodeReply:
    return NodeReply(who.node, who.name, who.address, {**NOTHING, **known}, "")


def given_to(who: KnownNode, ago_s: float) -> dict:
    return {"to": {"id": who.node, "name": who.name, "address": who.address}, "ago_s": ago_s}


def summary(replies, silent=(), took_s=0.1) -> str:
    return explained("0" * 20 + "-1", replies, list(silent), took_s)["summary"]


def reply_of(who: KnownNode, *known: KnownNode) -> Reply:
    return Reply(
        b"s" * 16,
        who.node,
        who.name,
        who.address,
        b"{}",
        "",
        [each.node for each in known],
        [each.name for each in known],
        [each.address for each in known],
    )


@pytest.mark.parametrize("known", [{"accepted": True}, {"resolved": True}])
def test_what_left_its_node_may_be_at_one_that_did_not_answer(known):
    replies = [said_by(ONE, **known)]
    assert summary(replies).endswith(ENDED)
    assert HEDGE in summary(replies, [TWO])


def test_what_was_given_away_before_the_question_has_left_who_answers_that_it_has_it_not():
    replies = [said_by(ONE, given=given_to(TWO, 2.0)), said_by(TWO)]
    assert summary(replies).endswith(f"has left the custody of that node as well: {ENDED} there")
    assert HEDGE in summary(replies, [THREE])


def test_what_was_given_away_during_the_question_may_have_come_after_the_answer():
    replies = [said_by(ONE, given=given_to(TWO, 0.05)), said_by(TWO)]
    assert summary(replies).endswith("while this was asked: it is there, or went on from there")


def test_who_had_no_time_for_its_own_answer_is_silent_with_all_that_it_knows():
    assert silent_among([], ONE, [TWO]) == [ONE, TWO]
    assert silent_among([reply_of(TWO, ONE, THREE)], ONE, [TWO]) == [ONE, THREE]


def test_a_silent_node_is_named_once_whatever_is_known_of_it():
    unnamed = KnownNode("", "", THREE.address)
    assert silent_among([reply_of(ONE, unnamed), reply_of(TWO, THREE)], ONE, []) == [THREE]
    assert silent_among([reply_of(ONE, unnamed)], ONE, []) == [unnamed]


def test_another_life_at_the_same_address_is_not_silent():
    before = KnownNode("f" * 32, TWO.name, TWO.address)
    assert silent_among([reply_of(ONE, before), reply_of(TWO)], ONE, [before]) == []
