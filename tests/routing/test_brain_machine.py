"""One brain beside a model of it, under everything that can happen to it (I2, I3, I6, I7, I8)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.strategies import CREDITS, DELAYS_S, FEW_BYTES, PICKS, TYPE_NAMES, pick
from tests.support.books import check_no_interest_left
from tests.support.model import OPTIONS, Account, Known, Model, Peer, Window, wants
from trionode.ids import object_id
from trionode.routing import events
from trionode.routing.effects import RouteUpdate
from trionode.routing.model import Shape

KEYS = st.sampled_from(["T", "U", "*"])
WANTED = st.sampled_from([("T",), ("U",), ("T", "U"), ("*",), (">",), ("T", "*")])
PEERS = st.sampled_from(["p", "q"])
BYTES = st.sampled_from([0, 2, 1000])


class BrainBesideAModel(RuleBasedStateMachine):
    @initialize(durable=st.booleans(), busy=st.booleans())
    def begin(self, durable: bool, busy: bool) -> None:
        """Half of all examples begin where something can happen at once."""
        self.model = Model(durable=durable)
        self.next_sequence = 1
        self.handles = 100
        if busy:
            for name in ("p", "q"):
                self.link_or_cut(name)
            self.peer_tells_interest(0, "T", beyond=False)
            self.peer_grants(0, 6, 1000)
            self.come(("T",), 2, 1000)
            self.push("T", [b"1", b"2", b"3"], None, None)

    def handle_(self) -> int:
        self.handles += 1
        return self.handles

    # --- producers -----------------------------------------------------------------------------

    @rule(
        type_=TYPE_NAMES,
        payloads=st.lists(FEW_BYTES, min_size=1, max_size=4),
        delay=DELAYS_S,
        lifetime=st.sampled_from([None, 1.0, 5.0]),
    )
    def push(self, type_: str, payloads: list[bytes], delay, lifetime) -> None:
        model, first = self.model, self.next_sequence
        rare = {}
        if delay is not None:
            rare["due"] = model.now + delay
        if lifetime is not None:
            rare["deadline"] = model.now + lifetime
        details = {index: dict(rare) for index in range(len(payloads))} if rare else {}
        self.next_sequence += len(payloads)
        for index, payload in enumerate(payloads):
            one = Known(object_id(1, first + index), type_, payload)
            one.not_before = rare.get("due", 0.0)
            one.deadline = rare.get("deadline", one.deadline)
            model.known[one.id] = one
        model.handle(events.Pushed(1, 1, first, type_, Shape(), payloads, 0, details))

    @precondition(lambda self: self.next_sequence > 1)
    @rule(first=PICKS, count=st.integers(1, 5))
    def push_again(self, first: int, count: int) -> None:
        first = 1 + first % (self.next_sequence - 1)
        count = min(count, self.next_sequence - first)
        self.model.handle(events.Pushed(1, 1, first, "T", Shape(), [b"again"] * count))

    # --- consumers -----------------------------------------------------------------------------

    @rule(keys=WANTED, credit=CREDITS, size=BYTES)
    def come(self, keys, credit: int, size: int) -> None:
        stream = self.handle_()
        self.model.streams.add(stream)
        self.model.handle(events.ConsumerCame(stream))
        self._subscribe(stream, keys, credit, size)

    @precondition(lambda self: self.model.streams)
    @rule(stream=PICKS, keys=WANTED, credit=CREDITS, size=BYTES)
    def subscribe_once_more(self, stream: int, keys, credit: int, size: int) -> None:
        self._subscribe(pick(sorted(self.model.streams), stream), keys, credit, size)

    def _subscribe(self, stream: int, keys, credit: int, size: int) -> None:
        window = Window(stream, self.handle_(), keys, credit, size)
        self.model.windows.append(window)
        self.model.handle(events.Subscribed(stream, window.number, keys, credit, size))

    @precondition(lambda self: self.model.windows)
    @rule(which=PICKS, credit=CREDITS, size=BYTES)
    def set_credit(self, which: int, credit: int, size: int) -> None:
        window = pick(self.model.windows, which)
        window.credit, window.credit_bytes = credit, size
        self.model.handle(
            events.Subscribed(window.stream, window.number, window.keys, credit, size)
        )

    @precondition(lambda self: self.model.windows)
    @rule(which=PICKS, count=st.integers(0, 5))
    def start(self, which: int, count: int) -> None:
        window = pick(self.model.windows, which)
        window.started = max(window.started, min(count, window.delivered))
        self.model.handle(events.Started(window.stream, window.number, count))

    @precondition(lambda self: self.model.windows)
    @rule(which=PICKS)
    def unsubscribe(self, which: int) -> None:
        window = pick(self.model.windows, which)
        self._end([window], died=False)
        self.model.handle(events.Unsubscribed(window.stream, window.number))

    @precondition(lambda self: self.model.streams)
    @rule(which=PICKS, died=st.booleans())
    def leave(self, which: int, died: bool) -> None:
        stream = pick(sorted(self.model.streams), which)
        self.model.streams.discard(stream)
        self._end([each for each in self.model.windows if each.stream == stream], died=died)
        self.model.handle(events.ConsumerGone(stream, died))

    def _end(self, windows: list[Window], *, died: bool) -> None:
        for window in windows:
            for one in self.model.leases(window):
                if died and one.mark < window.started:
                    self._fail(one)
                    one.suspect = True
                one.free()
            self.model.windows.remove(window)

    def _fail(self, one: Known) -> None:
        if one.attempt >= OPTIONS.max_attempts:
            one.dead = True
        else:
            one.attempt += 1

    @precondition(lambda self: any(one.window for one in self.model.known.values()))
    @rule(
        picks=st.lists(PICKS, min_size=1, max_size=3),
        action=st.sampled_from(["ack", "nack", "reject", "return", "replace"]),
        delay=DELAYS_S,
    )
    def settle(self, picks: list[int], action: str, delay) -> None:
        leased = [one for one in self.model.known.values() if one.window]
        stream = pick(leased, picks[0]).window.stream
        mine = [one for one in leased if one.window.stream == stream]
        chosen = list(dict.fromkeys(pick(mine, choice) for choice in picks))
        self._settle(stream, action, [(one.id, one.attempt) for one in chosen], delay)
        assert self.model.refusals == []

    @precondition(lambda self: self.model.known and self.model.streams)
    @rule(
        picks=st.lists(st.tuples(PICKS, st.integers(0, 3)), min_size=1, max_size=4),
        stream=PICKS,
        action=st.sampled_from(["ack", "nack", "reject", "return", "replace"]),
        delay=DELAYS_S,
    )
    def settle_whatever(self, picks, stream: int, action: str, delay) -> None:
        """Some may be valid; all others are refused, one by one, and change nothing."""
        leased = [one.id for one in self.model.known.values() if one.window]
        ids = [*leased, *self.model.known, object_id(9, 9)]
        leases = [(pick(ids, choice), attempt) for choice, attempt in picks]
        self._settle(pick(sorted(self.model.streams), stream), action, leases, delay)

    def _settle(self, stream: int, action: str, leases: list[tuple[int, int]], delay) -> None:
        model = self.model
        expected, done = [], set()
        for index, (id_, attempt) in enumerate(leases):
            one = model.known.get(id_)
            valid = (
                one is not None
                and one.window is not None
                and (one.window.stream, one.attempt) == (stream, attempt)
                and id_ not in done
            )
            if not valid:
                expected.append((id_, attempt))
                continue
            done.add(id_)
            self._apply(action, one, b"new%d" % index, delay)
        payloads = [b"new%d" % index for index in range(len(leases))]
        model.handle(
            events.Settled(
                stream, 7, action, [id_ for id_, _ in leases], [n for _, n in leases],
                delay, "why", payloads, Shape(),
            )
        )  # fmt: skip
        assert [(id_, attempt) for id_, attempt, _ in model.refusals] == expected
        assert all(reason for _, _, reason in model.refusals)

    def _apply(self, action: str, one: Known, payload: bytes, delay) -> None:
        one.free()
        if action == "ack":
            del self.model.known[one.id]
            return
        if action == "return":
            return
        one.suspect = False
        if action == "nack":
            self._fail(one)
            retries_s = OPTIONS.retry_base_s * 2 ** (one.attempt - 2)
            delay_s = 0.8 * retries_s if delay is None else delay
            one.not_before = self.model.now + delay_s
        elif action == "reject":
            one.dead = True
        else:
            one.attempt, one.version, one.payload = 1, one.version + 1, payload

    # --- links ---------------------------------------------------------------------------------

    @rule(name=PEERS)
    def link_or_cut(self, name: str) -> None:
        peer, model = self.model.peers[name], self.model
        if peer.link is None:
            peer.link = self.handle_()
            model.handle(events.LinkUp(peer.link, name, 1, True))
            assert sorted(model.asked) == [
                n for n, (each, _) in sorted(model.offers.items()) if each == name
            ]
            return
        link, peer.link = peer.link, None
        peer.down_since = model.now
        peer.told.clear()
        peer.advertised.clear()
        model.handle(events.LinkDown(link))

    def linked(self) -> list[Peer]:
        return [peer for peer in self.model.peers.values() if peer.link is not None]

    @precondition(lambda self: self.linked())
    @rule(which=PICKS, key=KEYS, beyond=st.booleans())
    def peer_tells_interest(self, which: int, key: str, beyond: bool) -> None:
        peer = pick(self.linked(), which)
        peer.epochs += 1
        peer.told[key] = Account(peer.epochs)
        path = (peer.name, "far") if beyond else (peer.name,)
        update = RouteUpdate(key, path, path[-1], 1, peer.epochs, peer.epochs)
        self.model.handle(events.InterestTold(peer.link, False, [update]))

    @precondition(lambda self: any(peer.told for peer in self.linked()))
    @rule(which=PICKS)
    def peer_withdraws_interest(self, which: int) -> None:
        told = [(peer, key) for peer in self.linked() for key in peer.told]
        peer, key = pick(told, which)
        del peer.told[key]
        self.model.handle(
            events.InterestTold(peer.link, False, [RouteUpdate(key, (), "", 0, 0, 0)])
        )

    @precondition(lambda self: any(peer.told for peer in self.linked()))
    @rule(which=PICKS, limit=st.integers(0, 6), size=BYTES)
    def peer_grants(self, which: int, limit: int, size: int) -> None:
        told = [(peer, key) for peer in self.linked() for key in peer.told]
        peer, key = pick(told, which)
        account = peer.told[key]
        account.limit, account.byte_limit = limit, account.offered_bytes + size
        grant = (key, account.epoch, limit, account.byte_limit)
        self.model.handle(events.CreditGranted(peer.link, [grant]))

    @precondition(lambda self: any(peer.advertised for peer in self.linked()))
    @rule(which=PICKS, wanted=st.integers(0, 6))
    def peer_wishes(self, which: int, wanted: int) -> None:
        keys = [(peer, key) for peer in self.linked() for key in peer.advertised]
        peer, key = pick(keys, which)
        self.model.handle(events.BacklogTold(peer.link, [(key, peer.advertised[key], wanted)]))

    @precondition(lambda self: any(n for n, (p, _) in self.model.offers.items() if self.up(p)))
    @rule(which=PICKS, known=st.booleans(), refused=st.sets(st.integers(0, 5)))
    def peer_answers(self, which: int, known: bool, refused: set[int]) -> None:
        """Each once: an honest peer repeats itself only when asked again."""
        model = self.model
        numbers = [n for n, (name, _) in sorted(model.offers.items()) if self.up(name)]
        number = pick(numbers, which)
        name, ids = model.offers.pop(number)
        refused = {index for index in refused if index < len(ids)} if known else set()
        for one in model.on_offer(number, ids):
            if known and ids.index(one.id) not in refused:
                del model.known[one.id]
            else:
                model.keep(one)
        link = model.peers[name].link
        model.handle(events.OfferAnswered(link, 1, number, known, tuple(sorted(refused))))
        assert model.closed == ([number] if known else [])

    def up(self, name: str) -> bool:
        return self.model.peers[name].link is not None

    @precondition(lambda self: self.linked())
    @rule(
        which=PICKS,
        type_=TYPE_NAMES,
        key=st.sampled_from([None, "*"]),
        held=st.none() | PICKS,
        attempt=st.integers(1, 3),
        version=st.integers(1, 2),
        draining=st.booleans(),
    )
    def peer_offers(self, which, type_: str, key, held, attempt, version, draining) -> None:
        """Something new, or a copy of what is here: a fault somewhere has doubled it."""
        model, peer = self.model, pick(self.linked(), which)
        peer.sequence += 1
        one = pick([*model.known.values()], held) if held is not None and model.known else None
        if one is None:
            one = Known(object_id(2 + ord(peer.name), peer.sequence), type_, b"offered")
        key = key or one.type
        assert wants([key], one.type)
        wanted = draining or key in peer.advertised
        account = peer.granted[key] if key in peer.advertised else Account(0)
        room = self.model.has_space() or account.credit
        taken = wanted and not model.draining and room
        payload = b"v%d" % version
        account.offered += 1
        account.offered_bytes += len(payload)
        if taken:
            self._arrive(one, payload, attempt, version)
        peer.answers[peer.sequence] = () if taken else (0,)
        rare = {0: {"version": version}} if version > 1 else {}
        self._offer(peer, peer.sequence, key, one, payload, [attempt], rare, draining)

    def _offer(self, peer, sequence, key, one, payload, attempts, rare, draining) -> None:
        self.model.handle(
            events.OfferCame(
                peer.link, sequence, key, peer.advertised.get(key, 0), one.type,
                Shape(), [one.id], [payload], [1.0], attempts, rare, draining,
            )
        )  # fmt: skip
        (answer,) = self.model.answered
        assert (answer.sequence, answer.known) == (sequence, True)
        assert answer.refused == peer.answers[sequence]
        assert answer.after_commit

    def _arrive(self, one: Known, payload: bytes, attempt: int, version: int) -> None:
        if one.id not in self.model.known:
            self.model.known[one.id] = one
            one.payload, one.attempt, one.version = payload, attempt, version
            return
        if one.window is not None:
            return
        if version > one.version:
            one.payload, one.attempt = payload, attempt
        elif version == one.version:
            one.attempt = max(one.attempt, attempt)
        if one.offer is not None and version >= one.version:
            one.dead = one.suspect = False
            one.not_before, one.deadline = 0.0, float("inf")
        one.version = max(one.version, version)
        if one.offer is not None:
            self.model.keep(one)

    @precondition(lambda self: any(peer.answers for peer in self.linked()))
    @rule(which=PICKS)
    def peer_repeats_an_offer(self, which: int) -> None:
        """By its number only: whatever it says, it is answered as before and changes nothing."""
        told = [(peer, n) for peer in self.linked() for n in peer.answers]
        peer, number = pick(told, which)
        ghost = Known(object_id(77, number), "T", b"never")
        self._offer(peer, number, "T", ghost, b"never", [1], {}, True)

    @precondition(lambda self: any(peer.answers for peer in self.linked()))
    @rule(which=PICKS)
    def peer_closes(self, which: int) -> None:
        peer, number = pick([(peer, n) for peer in self.linked() for n in peer.answers], which)
        del peer.answers[number]
        self.model.handle(events.OffersClosed(peer.link, [(1, number)]))

    @precondition(lambda self: self.linked())
    @rule(which=PICKS, named=st.sets(st.integers(1, 5)))
    def peer_asks(self, which: int, named: set[int]) -> None:
        peer, model = pick(self.linked(), which), self.model
        named = {number for number in named if number <= peer.sequence}
        peer.answers = {n: answer for n, answer in peer.answers.items() if n in named}
        numbers = [(1, number) for number in sorted(named)]
        model.handle(events.OffersAsked(peer.link, 1, peer.sequence + 1, numbers))
        assert [(each.sequence, each.known, each.refused) for each in model.answered] == [
            (n, n in peer.answers, peer.answers.get(n, ())) for n in sorted(named)
        ]

    # --- time ----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.model.now += seconds
        self.model.tick()

    @precondition(lambda self: not self.model.draining)
    @rule(really=st.integers(0, 5))
    def drain(self, really: int) -> None:
        if really == 5:
            self.model.draining = True
            self.model.handle(events.DrainStarted())

    @precondition(lambda self: self.model.draining and not self.model.durable)
    @rule()
    def drain_ends(self) -> None:
        self.model.doubt_s = 0.0
        self.model.handle(events.DrainEnding())
        self.model.tick()

    @invariant()
    def both_books_agree(self) -> None:
        self.model.compare()

    def teardown(self) -> None:
        """I7: when everybody is gone nothing is known of anybody's interest."""
        if not hasattr(self, "model"):
            return
        for peer in self.linked():
            self.link_or_cut(peer.name)
        for _ in list(self.model.streams):
            self.leave(0, died=False)
        for _ in range(3):
            self.time_passes(6.0)
            self.model.compare()
        check_no_interest_left(self.model.brain)


TestBrainBesideAModel = BrainBesideAModel.TestCase
TestBrainBesideAModel.settings = settings(max_examples=150, stateful_step_count=50)
