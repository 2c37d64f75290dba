"""All deliberate bugs by name: each a small change to the routing code that undoes itself.

They are what the checkers must catch; `mutants.py` says what caught which, and how soon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation import (
    bugs_of_clients,
    bugs_of_credit,
    bugs_of_custody,
    bugs_of_order,
    bugs_of_people,
    bugs_of_steps,
    bugs_of_terms,
    bugs_of_time,
)
from tests.simulation.patching import at_once, without
from trionode.routing import effects

if TYPE_CHECKING:
    from collections.abc import Callable

BUGS: dict[str, Callable[[], Any]] = {
    "interest as increments": bugs_of_credit.interest_as_increments,
    "no snapshot after a reconnect": bugs_of_credit.no_snapshot,
    "an old incarnation's interest kept": bugs_of_credit.old_incarnation_kept,
    "withdrawn interest not told": bugs_of_credit.withdrawals_forgotten,
    "path of interest not checked": bugs_of_credit.path_not_checked,
    "credit off by one": bugs_of_credit.credit_off_by_one,
    "credit granted to several at once": bugs_of_credit.credit_granted_twice,
    "credit beyond what a peer has to offer": bugs_of_credit.credit_beyond_the_wish,
    "unspent credit never withdrawn": bugs_of_credit.credit_never_withdrawn,
    "backlog of others told as one's own": bugs_of_credit.backlog_of_others_told,
    "types met later unknown to patterns": bugs_of_credit.types_unknown_to_patterns,
    "given away while a local consumer is free": bugs_of_credit.local_last,
    "returned to the sender without back-off": bugs_of_credit.no_backoff,
    "forgotten before accepted": bugs_of_custody.forget_before_accepted,
    "incarnation dropped from offer numbers": bugs_of_custody.incarnation_dropped,
    "repeats recognised by object id": bugs_of_custody.repeats_by_object_id,
    "offered again instead of asked": bugs_of_custody.offer_again,
    "never seen taken for accepted": bugs_of_custody.never_seen_is_accepted,
    "refused objects taken for accepted": bugs_of_custody.refusals_ignored,
    "in doubt for ever": bugs_of_custody.in_doubt_for_ever,
    "given up as soon as the link is lost": bugs_of_custody.given_up_at_once,
    "offer number forgotten with the answer": bugs_of_custody.number_forgotten_with_answer,
    "superseding copy not stored": bugs_of_custody.superseded_not_stored,
    "answered before the commit": lambda: at_once(effects.SendAnswer),
    "durable objects given to memory": bugs_of_custody.volatile_peers_trusted,
    "attempts reset by a transfer": bugs_of_custody.attempts_reset,
    "deadline reset by a transfer": bugs_of_custody.deadline_reset,
    "delay of a push ignored": bugs_of_time.delay_of_a_push_ignored,
    "delay of a nack halved": bugs_of_time.delay_of_a_nack_halved,
    "back-off of retries forgotten": bugs_of_time.backoff_of_retries_forgotten,
    "deadline noticed late": bugs_of_time.deadline_noticed_late,
    "objects to be kept expire": bugs_of_time.kept_objects_expire,
    "payloads read for other objects": bugs_of_time.payloads_read_for_others,
    "bytes of a window ignored": bugs_of_time.windows_bytes_ignored,
    "window one too wide": bugs_of_time.window_one_too_wide,
    "push acknowledged before the store has it": lambda: at_once(effects.AcknowledgePush),
    "offers not forgotten on disk in order": lambda: without(effects.Forget),
    "lease token ignored": bugs_of_clients.lease_token_ignored,
    "a dead consumer keeps its leases": bugs_of_clients.dead_consumers_keep_leases,
    "what is overdue counts nothing": bugs_of_clients.overdue_counts_nothing,
    "drain forgets leases": bugs_of_clients.drain_forgets_leases,
    "repeated pushes taken again": bugs_of_clients.repeats_taken_again,
    "acknowledged floor one too high": bugs_of_clients.floor_too_high,
    "bytes not given back": bugs_of_clients.bytes_not_given_back,
    "attempts lost by a restart": bugs_of_clients.recovered_delay_lost,
    "accepted sequences not stored": lambda: without(effects.RememberProducer),
    "taken offers not stored": lambda: without(effects.RememberOffer),
    "results taken in part": bugs_of_steps.only_first_results_taken,
    "results not stored": bugs_of_steps.results_not_stored,
    "settles answered before the commit": lambda: at_once(effects.AnswerSettle),
    "keys of pushes not looked up": bugs_of_steps.keys_not_looked_up,
    "dropped at a deadline though to be kept": bugs_of_steps.kept_at_deadline_dropped,
    "keys of pushes not stored": lambda: without(effects.RememberKeys),
    "ordering keys ignored": bugs_of_order.keys_ignored,
    "a key goes on while its head is away": bugs_of_order.key_goes_on_while_its_head_is_away,
    "ends of keys not reported": bugs_of_order.ends_of_keys_not_reported,
    "low priorities starve": bugs_of_order.low_priorities_starve,
    "attempts that a subscription allows ignored": bugs_of_terms.attempts_ignored,
    "back-off of a subscription ignored": bugs_of_terms.backoff_ignored,
    "leases end with a broken stream in spite of a grace": bugs_of_terms.grace_ignored,
    "leases of who stays away kept for ever": bugs_of_terms.away_for_ever,
    "who comes back is not told what is gone": bugs_of_terms.gone_leases_not_told,
    "retried dead letters keep their attempts": bugs_of_people.retried_keep_attempts,
    "copies of what comes from peers not made": bugs_of_people.received_not_copied,
    "anything may be discarded": bugs_of_people.anything_discarded,
}
"""What it is called in the table -> how it is put in."""
