"""In which order a client tries the addresses it knows."""

from __future__ import annotations

from trionode.client.addresses import LEARNED_MAX, AddressBook


def test_given_addresses_come_first_and_in_their_order():
    book = AddressBook(["a:1", "b:1", "a:1"])
    book.learn(["c:1", "b:1", ""])
    assert book.round() == ["a:1", "b:1", "c:1"]


def test_after_a_loss_the_same_address_goes_first():
    book = AddressBook(["a:1", "b:1", "c:1"])
    book.connected("b:1")
    assert book.round() == ["b:1", "c:1", "a:1"]


def test_an_address_to_avoid_goes_last_until_it_is_connected_again():
    book = AddressBook(["a:1", "b:1"])
    book.connected("a:1")
    book.avoid("a:1")
    assert book.round() == ["b:1", "a:1"]
    book.connected("a:1")
    assert book.round() == ["a:1", "b:1"]


def test_the_newest_addresses_that_were_told_are_kept():
    book = AddressBook(["a:1"])
    book.learn([f"n{number}:1" for number in range(LEARNED_MAX + 2)])
    book.learn(["n5:1"])
    assert len(book.round()) == LEARNED_MAX + 1
    assert "n0:1" not in book.round()
    assert book.round()[-1] == "n5:1"
