r"""Reading conditions and orders: recursive descent over tokens, with bounds on everything.

    condition   alternative { "or" alternative }
    alternative term { "and" term }
    term        "not" term | "(" condition ")" | comparison
    comparison  operand ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
              | operand [ "not" ] "in" "(" value { "," value } ")"
              | operand [ "not" ] "like" text
              | operand "is" [ "not" ] "null"
              | value ( "=" | "!=" | "<" | … ) operand
    operand     "$" name | ( name | "[" text "]" ) { "." name | "[" text "]" | "[" index "]" }
    value       text | number | "true" | "false" | "null"

Texts stand between double or single quotes; `\` before a character takes it as it is, but for
`\n`, `\r`, `\t` and `\uXXXX`. Words of the language are written in any case.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import NoReturn

import attrs

from trionode.ids import parse_id
from trionode.query import expressions as e
from trionode.query.expressions import (
    Compare,
    Every,
    Expression,
    Field,
    IsNull,
    Like,
    Not,
    OneOf,
    Operand,
    Property,
    QueryError,
    Some,
    Value,
)

TEXT_MAX = 8192
"""Characters of a condition."""
NESTING_MAX = 50
TERMS_MAX = 300
"""Comparisons, and values in lists, of one condition."""
PATH_MAX = 32
INDEX_MAX = 2**31 - 1
PATTERN_WILDCARDS_MAX = 20

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
      | (?P<property>\$\w+)
      | (?P<word>[^\W\d][\w-]*)
      | (?P<sign><=|>=|!=|<>|==|[=<>(),.\[\]])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_SIGNS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WORDS = {"and", "or", "not", "in", "like", "is", "null", "true", "false"}


@attrs.frozen
class _Token:
    kind: str
    text: str
    at: int


@attrs.frozen
class _Null:
    """The value `null`, which only `=` and `!=` take."""


def parse(text: str) -> Expression:
    """Read a condition.

    Raises:
        QueryError: it cannot be understood.
    """
    parser = _Parser(text)
    found = parser.condition(0)
    parser.expect_end()
    return found


def parse_order(text: str) -> tuple[Operand, bool]:
    """Read an order, `total` or `$created desc`: the operand, and whether it descends.

    Raises:
        QueryError: it cannot be understood.
    """
    parser = _Parser(text)
    operand = parser.operand()
    descending = parser.takes_word("desc")
    if not descending:
        parser.takes_word("asc")
    parser.expect_end()
    if operand == Property("state"):
        raise QueryError("$state has no order")
    return operand, descending


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > TEXT_MAX:
            raise QueryError(f"longer than {TEXT_MAX} characters")
        self._tokens = _tokens(text)
        self._at = 0
        self._terms = 0

    # --- tokens -----------------------------------------------------------------------------------

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _takes(self, sign: str) -> bool:
        found = self._next.kind == "sign" and self._next.text == sign
        self._at += found
        return found

    def takes_word(self, word: str) -> bool:
        """Whether this word comes next, which is then behind."""
        found = self._next.kind == "word" and self._next.text.lower() == word
        self._at += found
        return found

    def _fail(self, expected: str) -> NoReturn:
        token = self._next
        found = "the end" if token.kind == "end" else repr(token.text[:40])
        raise QueryError(f"{expected} is expected at character {token.at + 1}, not {found}")

    def expect_end(self) -> None:
        """Nothing more may come."""
        if self._next.kind != "end":
            self._fail("the end, 'and' or 'or'")

    def _count_term(self) -> None:
        self._terms += 1
        if self._terms > TERMS_MAX:
            raise QueryError(f"more than {TERMS_MAX} comparisons and values")

    # --- conditions -------------------------------------------------------------------------------

    def condition(self, depth: int) -> Expression:
        """One or several alternatives."""
        parts = [self._alternative(depth)]
        while self.takes_word("or"):
            parts.append(self._alternative(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _alternative(self, depth: int) -> Expression:
        parts = [self._term(depth)]
        while self.takes_word("and"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _term(self, depth: int) -> Expression:
        if depth > NESTING_MAX:
            raise QueryError(f"nested deeper than {NESTING_MAX}")
        if self.takes_word("not"):
            return Not(self._term(depth + 1))
        if self._takes("("):
            found = self.condition(depth + 1)
            if not self._takes(")"):
                self._fail("')', 'and' or 'or'")
            return found
        return self._comparison()

    def _comparison(self) -> Expression:
        self._count_term()
        if self._next.kind in ("text", "number") or self._is_constant():
            value = self._value()
            sign = self._sign()
            return _compare(self.operand(), _FLIPPED.get(sign, sign), value)
        operand = self.operand()
        if self.takes_word("is"):
            negated = self.takes_word("not")
            if not self.takes_word("null"):
                self._fail("'null'")
            found: Expression = IsNull(operand)
            return Not(found) if negated else found
        negated = self.takes_word("not")
        if self.takes_word("in"):
            found = OneOf(operand, self._values(operand))
        elif self.takes_word("like"):
            found = self._like(operand)
        elif negated:
            self._fail("'in' or 'like'")
        else:
            return _compare(operand, self._sign(), self._value())
        return Not(found) if negated else found

    def _sign(self) -> str:
        if self._next.kind != "sign" or self._next.text not in _SIGNS:
            self._fail("a comparison (= != < <= > >=, in, like, is null)")
        return _SIGNS[self._take().text]

    def _values(self, operand: Operand) -> tuple[Value, ...]:
        if not self._takes("("):
            self._fail("'('")
        values = []
        while True:
            self._count_term()
            values.append(_fitting(operand, "=", self._value()))
            if self._takes(")"):
                return tuple(values)
            if not self._takes(","):
                self._fail("',' or ')'")

    def _like(self, operand: Operand) -> Like:
        if self._next.kind != "text":
            self._fail("a text in quotes")
        pattern = _text_of(self._take())
        if isinstance(operand, Property) and e.PROPERTIES[operand.name] != "text":
            raise QueryError(f"${operand.name} is no text: 'like' does not apply to it")
        if sum(map(pattern.count, "%_")) > PATTERN_WILDCARDS_MAX:
            raise QueryError(f"a pattern with more than {PATTERN_WILDCARDS_MAX} wildcards")
        return Like(operand, pattern)

    # --- operands and values ----------------------------------------------------------------------

    def operand(self) -> Operand:
        """A property or a field."""
        if self._next.kind == "property":
            token = self._take()
            name = token.text[1:]
            if name not in e.PROPERTIES:
                known = ", ".join(f"${each}" for each in e.PROPERTIES)
                raise QueryError(f"there is no property {token.text}; there are {known}")
            return Property(name)
        return Field(self._path())

    def _path(self) -> tuple[str | int, ...]:
        path: list[str | int] = []
        if self._next.kind == "word" and self._next.text.lower() not in _WORDS:
            path.append(self._take().text)
        elif not (self._next.kind == "sign" and self._next.text == "["):
            self._fail("a field, or a property such as $created,")
        while True:
            if self._takes("."):
                if self._next.kind != "word":
                    self._fail("the name of a field")
                path.append(self._take().text)
            elif self._takes("["):
                path.append(self._subscript())
            elif len(path) > PATH_MAX:
                raise QueryError(f"a path of more than {PATH_MAX} steps")
            else:
                return tuple(path)

    def _subscript(self) -> str | int:
        token = self._next
        if token.kind == "text":
            found: str | int = _text_of(token)
            if any(mark in token.text[1:-1] for mark in '"\\\0'):
                raise QueryError("a field whose name has quotes or backslashes cannot be queried")
        elif token.kind == "number" and token.text.isdecimal() and int(token.text) <= INDEX_MAX:
            found = int(token.text)
        else:
            self._fail("an index from 0, or a name in quotes,")
        self._take()
        if not self._takes("]"):
            self._fail("']'")
        return found

    def _is_constant(self) -> bool:
        return self._next.kind == "word" and self._next.text.lower() in ("true", "false", "null")

    def _value(self) -> Value | _Null:
        token = self._next
        if token.kind == "text":
            return _text_of(self._take())
        if token.kind == "number":
            return _number_of(self._take())
        if not self._is_constant():
            self._fail("a value (a text in quotes, a number, true, false, null)")
        word = self._take().text.lower()
        return _Null() if word == "null" else word == "true"


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            if rest[0] in "\"'":
                raise QueryError(
                    f"a text that begins at character {len(text) - len(rest) + 1} has no end"
                )
            raise QueryError(
                f"{rest[0]!r} at character {len(text) - len(rest) + 1} means nothing here"
            )
        kind = match.lastgroup
        assert kind is not None, "one of the groups matched"
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        if kind == "end":
            return tokens
        at = match.end()


def _text_of(token: _Token) -> str:
    def meant(match: re.Match[str]) -> str:
        mark = match[1]
        return chr(int(mark[1:], 16)) if len(mark) > 1 else _ESCAPED.get(mark, mark)

    text = _ESCAPE.sub(meant, token.text[1:-1])
    try:
        # Two escapes may be the halves of one character.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise QueryError(f"the text at character {token.at + 1} is not Unicode") from None


def _number_of(token: _Token) -> int | float:
    try:
        number = int(token.text)
    except ValueError:
        pass
    else:
        if e.INT_MIN <= number <= e.INT_MAX:
            return number
    found = float(token.text)
    if math.isinf(found):
        raise QueryError(f"{token.text[:40]} is too large a number")
    return found


def _compare(operand: Operand, sign: str, value: Value | _Null) -> Expression:
    if isinstance(value, _Null):
        if sign not in ("=", "!="):
            raise QueryError(f"null has no order: '{sign} null' is never true")
        found: Expression = IsNull(operand)
    else:
        found = Compare(operand, sign if sign != "!=" else "=", _fitting(operand, sign, value))
    return Not(found) if sign == "!=" else found


def _fitting(operand: Operand, sign: str, value: Value | _Null) -> Value:
    """The value as the operand's own are."""
    if isinstance(value, _Null):
        raise QueryError("null is no value of a list: write 'is null'")
    ordered = sign not in ("=", "!=")
    if isinstance(value, bool) and ordered:
        raise QueryError("true and false have no order")
    if isinstance(operand, Field):
        return value
    kind = e.PROPERTIES[operand.name]
    if kind == "time" and isinstance(value, str):
        return _time_of(value)
    if kind == "id":
        if ordered:
            raise QueryError("ids have no order: compare them with = or in")
        try:
            parse_id(str(value))
        except ValueError as error:
            raise QueryError(str(error)) from None
        return str(value)
    kinds = {"text": str, "truth": bool, "number": (int, float), "time": (int, float)}
    if not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind != "truth"):  # type: ignore[arg-type]  # types
        raise QueryError(f"${operand.name} is a {kind}, which {value!r} is not")
    return value


def _time_of(text: str) -> float:
    try:
        found = dt.datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.timestamp()
    except (ValueError, OverflowError):
        pass
    raise QueryError(f"{text[:40]!r} is no time in RFC 3339, like 2026-11-25T10:00:00Z")
