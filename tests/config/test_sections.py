"""The sections themselves: sound alone, documented, and handed on under the right names."""

from __future__ import annotations

import ast
import inspect

import attrs
import pytest

from trionode.config import Config, Http2, Limits, Routing, sections
from trionode.config.checks import Check, InvalidValue
from trionode.config.sections import SECTIONS, fields_of
from trionode.net.options import ConnectionOptions
from trionode.routing.options import RoutingOptions


def test_defaults_are_what_connections_and_routing_have_by_themselves():
    assert Config().routing_options() == RoutingOptions()
    assert Config().connection_options() == ConnectionOptions()


def test_what_is_configured_of_routing_reaches_it():
    routing = Routing(max_hops=3, transfer_after_s=5.0, allow_volatile=True)
    limits = Limits(memory_bytes=1 << 28, producers_remembered=5)
    options = Config(routing=routing, limits=limits).routing_options()
    assert (options.max_hops, options.transfer_after_s, options.allow_volatile) == (3, 5.0, True)
    assert (options.max_held_bytes, options.producers_remembered) == (1 << 28, 5)


def test_what_is_configured_of_connections_reaches_them():
    http2 = Http2(max_frame_bytes=16_384, keepalive_idle_s=0.0, keepalive_timeout_s=9.0)
    options = Config(http2=http2).connection_options()
    assert options.max_frame_bytes == 16_384
    assert options.keepalive_idle_s is None
    assert options.keepalive_timeout_s == 9.0


def test_a_message_may_be_longer_than_the_largest_object():
    config = Config(limits=Limits(max_object_bytes=8 << 20))
    assert config.connection_options().max_message_bytes > 8 << 20


def test_a_section_made_in_a_program_is_checked_like_one_from_a_file():
    with pytest.raises(InvalidValue, match="max_hops is 0, allowed is a whole number from 1 to 64"):
        Routing(max_hops=0)


def test_where_values_came_from_is_no_part_of_their_equality():
    assert Config(origins={"node.name": "flag --name"}) == Config()


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_says_what_it_allows(section):
    for field in fields_of(section).values():
        assert isinstance(field.validator, Check)
        assert field.validator.allowed


def test_every_section_of_the_configuration_is_listed_in_its_order():
    names = [field.name for field in attrs.fields(Config) if field.name != "origins"]
    assert names == list(SECTIONS)


def test_every_key_has_a_docstring_and_every_time_and_size_its_unit():
    documented = set()
    for statement in ast.parse(inspect.getsource(sections)).body:
        if isinstance(statement, ast.ClassDef):
            for field, text in zip(statement.body, statement.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    documented.add((statement.name, field.target.id))
    for kind in SECTIONS.values():
        for field in attrs.fields(kind):
            assert (kind.__name__, field.name) in documented
            if field.type is float and field.name != "push_high_water":
                assert field.name.endswith("_s")
