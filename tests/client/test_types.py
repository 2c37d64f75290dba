"""Which type a class stands for."""

from __future__ import annotations

import attrs
import pytest

from trionode.client.types import object_type, type_name_of


def test_a_class_stands_for_the_type_of_its_name():
    class Order:
        pass

    assert type_name_of(Order) == "Order"


def test_a_name_can_be_given_above_or_below_the_decorator_that_makes_the_class_anew():
    @object_type("billing.One")
    @attrs.frozen
    class One:
        number: int

    @attrs.frozen
    @object_type("billing.Two")
    class Two:
        number: int

    assert type_name_of(One) == "billing.One"
    assert type_name_of(Two) == "billing.Two"


def test_a_given_name_is_not_inherited():
    @object_type("billing.Base")
    class Base:
        pass

    class Derived(Base):
        pass

    assert type_name_of(Derived) == "Derived"


def test_two_classes_of_one_name_are_refused_naming_both():
    def make():
        class Order:
            pass

        return Order

    def make_another():
        class Order:
            pass

        return Order

    assert type_name_of(make()) == "Order"
    assert type_name_of(make()) == "Order"
    with pytest.raises(ValueError, match=r"make\.<locals>\.Order and .*make_another"):
        type_name_of(make_another())


@pytest.mark.parametrize("name", ["", "a b", "a..b", ".a", "a.", "x" * 201, "é"])
def test_a_name_that_no_type_can_have_is_refused(name):
    with pytest.raises(ValueError, match="cannot name a type"):
        object_type(name)


def test_only_classes_can_be_named():
    with pytest.raises(TypeError, match="names a class"):
        object_type("A")(5)
