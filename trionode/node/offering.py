"""Offers between the brain's values and frames, both ways. Pure.

A transfer moves many objects that have much in common: those of one push were created at one time,
and those that took the same way share their properties. That is told once, and read once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trionode.ids import from_runs, to_runs
from trionode.node import convert
from trionode.routing import effects, events
from trionode.routing.model import Shape, payloads_of
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trionode.routing.model import HeldObject
    from trionode.schema.definition import Definition


def offer(effect: effects.SendOffer, definitions: list[Definition], now: float) -> frames.Offer:
    """A proposal of custody."""
    objects = effect.objects
    shape = objects[0].shape
    details, shared = _columns(objects, now)
    return frames.Offer(
        effect.sequence,
        effect.key,
        effect.epoch,
        effect.type,
        to_runs([item.id for item in objects]),
        payloads_of(objects),
        _ages_ms(objects, now),
        shape.encoding,
        shape.fingerprint,
        convert.attempts_of(objects),
        details,
        definitions,
        effect.draining,
        shared,
    )


def _ages_ms(objects: Sequence[HeldObject], now: float) -> list[int]:
    """How long ago objects were created; those of one push were at one time."""
    ages: list[int] = []
    last, age_ms = math.nan, 0
    for item in objects:
        if item.created != last:
            last = item.created
            age_ms = max(0, round((now - last) * convert.MS_PER_S))
        ages.append(age_ms)
    return ages


def offer_came(frame: frames.Offer, link: int, now: float) -> events.OfferCame:
    """A peer's proposal of custody."""
    details = convert.properties_heard(frame.details, now)
    for first, count, properties in frame.shared:
        if heard := convert.from_wire(properties, now, convert.NOTHING):
            details.update(dict.fromkeys(range(first, first + count), heard))
    ages_ms = frame.ages_ms
    if max(ages_ms) > convert.DURATION_MAX_MS:
        ages_ms = [min(age_ms, convert.DURATION_MAX_MS) for age_ms in ages_ms]
    return events.OfferCame(
        link,
        frame.sequence,
        frame.key,
        frame.epoch,
        frame.type,
        Shape(frame.encoding, frame.fingerprint),
        from_runs(frame.ids),  # type: ignore[arg-type]  # see settled
        frame.payloads,
        [age_ms / convert.MS_PER_S for age_ms in ages_ms],
        frame.attempts,
        details,
        frame.draining,
    )


def _columns(
    objects: Sequence[HeldObject], now: float
) -> tuple[dict[int, convert.Details], list[tuple[int, int, convert.Details]]]:
    """All rare properties of a batch: those of single objects, and those that neighbours share."""
    single: dict[int, convert.Details] = {}
    shared: list[tuple[int, int, convert.Details]] = []
    start = 0
    for index in range(1, len(objects) + 1):
        details = objects[start].details
        if index < len(objects) and objects[index].details is details:
            continue
        if details is not None and (told := convert.to_wire(details, now, convert.NOTHING)):
            if index - start == 1:
                single[start] = told
            else:
                shared.append((start, index - start, told))
        start = index
    return single, shared
