"""What a node knows about types, and the one place that decides whether a push fits its type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.errors import Refused, Status
from trionode.schema.compatibility import difference
from trionode.schema.definition import Definition, check_type_name
from trionode.schema.document import Document, parse_schema
from trionode.schema.fingerprint import fingerprint_of
from trionode.schema.strict_json import parse_json
from trionode.schema.validation import PayloadValidator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_DEFINITIONS = 16
"""Most definitions of one name: each is kept by every node that meets the type."""

JSON = "json"
RAW = "raw"


@attrs.frozen(eq=False)
class _Known:
    definition: Definition
    document: Document
    validator: PayloadValidator


class TypeRegistry:
    """The definitions of every type a node has met, and the check of pushes against them.

    `strict`: types that nobody defined are refused. Not for concurrent use by threads.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._types: dict[str, dict[str, _Known]] = {}

    def define(self, type_name: str, schema_text: str, *, force: bool = False) -> Definition:
        """Add a definition, or find the one there is with the same meaning.

        `force` skips the check for compatibility, and where there is no room left the oldest
        definition makes some.

        Raises:
            Refused: INVALID_ARGUMENT: not a type's name, not a schema. FAILED_PRECONDITION: not
                compatible with a definition there is. RESOURCE_EXHAUSTED: `MAX_DEFINITIONS` there.
        """
        check_type_name(type_name)
        document = parse_schema(schema_text)
        known = self._types.get(type_name, {})
        fingerprint = fingerprint_of(document)
        if fingerprint in known:
            return known[fingerprint].definition
        validator = PayloadValidator(type_name, document)
        if not force:
            _check_compatible(type_name, document, fingerprint, known.values())
        if len(known) >= MAX_DEFINITIONS:
            if not force:
                raise Refused(
                    Status.RESOURCE_EXHAUSTED,
                    f"{type_name} has {MAX_DEFINITIONS} definitions already",
                    "force replaces the oldest one",
                )
            del known[next(iter(known))]
        definition = Definition(type_name, fingerprint, schema_text)
        self._add(_Known(definition, document, validator))
        return definition

    def learn(self, definition: Definition) -> bool:
        """Take over a definition that another node has accepted; True when it is known now.

        One that is damaged, or for which there is no room, is left out without a word: the objects
        that came with it are in custody whatever this node makes of their type.
        """
        known = self._types.get(definition.type, {})
        if definition.fingerprint in known:
            return True
        if len(known) >= MAX_DEFINITIONS:
            return False
        try:
            check_type_name(definition.type)
            document = parse_schema(definition.schema)
            if fingerprint_of(document) != definition.fingerprint:
                return False
            validator = PayloadValidator(definition.type, document)
        except Refused:
            return False
        self._add(_Known(definition, document, validator))
        return True

    def check(self, type_name: str, payload: bytes, encoding: str, fingerprint: str = "") -> None:
        """Accept one push or say why not; see `check_many`.

        Raises:
            Refused: as `check_many` finds it.
        """
        found = self.check_many(type_name, (payload,), encoding, fingerprint)
        if found is not None:
            raise found[1]

    def check_many(
        self, type_name: str, payloads: Sequence[bytes], encoding: str, fingerprint: str = ""
    ) -> tuple[int, Refused] | None:
        """The index and the error of the first payload that does not fit its type, or None.

        A `json` payload must be JSON, and valid under the definition that `fingerprint` names, or
        under any one of its type's when it names none. A `raw` payload passes only where the type
        has no definition: a schema that some producers could walk around would promise consumers
        nothing.
        """
        try:
            validators = self._validators(type_name, encoding, fingerprint)
        except Refused as error:
            return 0, error
        if encoding == RAW:
            return None
        index = 0
        try:
            if not validators:
                for index, payload in enumerate(payloads):  # noqa: B007  # the error needs it
                    parse_json(payload)
            elif len(validators) == 1:
                check = validators[0].check
                for index, payload in enumerate(payloads):  # noqa: B007  # the error needs it
                    check(payload)
            else:
                for index, payload in enumerate(payloads):  # noqa: B007  # the error needs it
                    _check_any(payload, validators)
        except Refused as error:
            return index, error
        return None

    def definitions(self, name: str = "") -> list[Definition]:
        """The definitions of one type, or of all, in the order they were learnt."""
        names = self._types if not name else (name,)
        return [
            known.definition
            for type_name in names
            for known in self._types.get(type_name, {}).values()
        ]

    def definition(self, type_name: str, fingerprint: str) -> Definition | None:
        """The one definition of that type and fingerprint, if it is known."""
        known = self._types.get(type_name, {}).get(fingerprint)
        return None if known is None else known.definition

    def _add(self, known: _Known) -> None:
        definition = known.definition
        self._types.setdefault(definition.type, {})[definition.fingerprint] = known

    def _validators(
        self, type_name: str, encoding: str, fingerprint: str
    ) -> list[PayloadValidator]:
        """Which validators a push has to pass one of, the newest first."""
        if encoding not in (JSON, RAW):
            raise Refused(
                Status.INVALID_ARGUMENT,
                f"encoding {encoding[:40]!r} is not known",
                f"use {JSON} or {RAW}",
            )
        known = self._types.get(type_name)
        if not known:
            check_type_name(type_name)
            if self.strict:
                raise Refused(
                    Status.FAILED_PRECONDITION,
                    f"type {type_name} is not defined and this node takes defined types only",
                    "define it first, or turn types.strict off",
                )
            return []
        if encoding == RAW:
            raise Refused(
                Status.INVALID_ARGUMENT,
                f"{type_name} has a schema, which raw bytes cannot be held to",
                "push JSON, or use a type without a schema",
            )
        if not fingerprint:
            return [entry.validator for entry in reversed(known.values())]
        entry = known.get(fingerprint)
        if entry is None:
            raise Refused(
                Status.FAILED_PRECONDITION,
                f"{type_name} has no definition {fingerprint[:40]!r} here",
                "define it on this node first",
            )
        return [entry.validator]


def _check_compatible(
    type_name: str, document: Document, fingerprint: str, known: Iterable[_Known]
) -> None:
    for entry in known:
        found = difference(entry.document, document)
        if found is not None:
            raise Refused(
                Status.FAILED_PRECONDITION,
                f"{type_name}: {found.path}: {found.reason}; definition {fingerprint} is not "
                f"compatible with {entry.definition.fingerprint}",
                "add properties as optional ones, use a new type's name, or force",
            )


def _check_any(payload: bytes, validators: list[PayloadValidator]) -> None:
    """Valid under one of the definitions; the newest has the last word on why not."""
    value = parse_json(payload)
    refusal: Refused | None = None
    for validator in validators:
        try:
            validator.check_value(value)
        except Refused as error:
            refusal = refusal or error
        else:
            return
    assert refusal is not None
    raise refusal
