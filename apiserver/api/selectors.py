"""Label selectors and field selectors: read from text, checked, matched, written back.

Grammar, rules and messages are those of k8s.io/apimachinery/pkg/labels and pkg/fields. A selector is the conjunction
of its requirements and never changes. Reading takes time linear in the text, which has a bound, and so does the number
of requirements; matching takes one look-up a requirement. Reading back what `str` wrote gives an equal selector.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NoReturn

import msgspec

from .meta import LabelSelector
from .names import is_label_value, is_qualified_name

SELECTOR_CHARACTERS_MAX = 65_536
REQUIREMENTS_MAX = 256
_SHOWN_CHARACTERS_MAX = 200

Operator = Literal["=", "==", "!=", "in", "notin", "exists", "!", "gt", "lt"]
FieldOperator = Literal["=", "!="]

_OPERATORS: dict[str, Operator] = {
    "in": "in",
    "notin": "notin",
    "=": "=",
    "==": "==",
    "!=": "!=",
    ">": "gt",
    "<": "lt",
}
_SYMBOLS = {"gt": ">", "lt": "<"}
_SELECTOR_OPERATORS: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_SPECIAL = frozenset(("!=", "==", "=", "!", "(", ")", ",", ">", "<"))
_token_re = re.compile(r"[ \t\r\n]*+(!=|==|[=!(),<>]|[^ \t\r\n=!(),<>]++|\Z)")
_integer_re = re.compile("[-+]?[0-9]{1,19}")


class Requirement(msgspec.Struct, frozen=True):
    """One condition on a label. `values` is sorted and without duplicates; empty for `exists` and `!`."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.key)
        operator = self.operator
        if operator in ("=", "==", "in"):
            return found is not None and _among(found, self.values)
        if operator in ("!=", "notin"):
            return found is None or not _among(found, self.values)
        if operator == "exists":
            return found is not None
        if operator == "!":
            return found is None
        return self._compares(found)

    def _compares(self, found: str | None) -> bool:
        left, right = _integer(found or ""), _integer(self.values[0])
        if left is None or right is None:
            return False
        return left > right if self.operator == "gt" else left < right

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{_SYMBOLS.get(self.operator, self.operator)}{self.values[0]}"


class Labels(msgspec.Struct, frozen=True):
    """A label selector. Without requirements it matches everything; `NOTHING` matches nothing."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def everything(self) -> bool:
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        for requirement in self.requirements:  # no all(): a generator costs more than most requirements
            if not requirement.matches(labels):
                return False
        return not self.nothing

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING = Labels()
NOTHING = Labels(nothing=True)


class FieldRequirement(msgspec.Struct, frozen=True):
    """One condition on a field: `key` is a path such as `spec.nodeName`."""

    key: str
    operator: FieldOperator
    value: str

    def __str__(self) -> str:
        return f"{self.key}{self.operator}{escape_field_value(self.value)}"


class Fields(msgspec.Struct, frozen=True):
    """A field selector. Which fields a kind has is for the caller to check."""

    requirements: tuple[FieldRequirement, ...] = ()

    @property
    def everything(self) -> bool:
        return not self.requirements

    def matches(self, get: Callable[[str], str]) -> bool:
        """`get` gives the value of a field, "" when it is not set."""
        for requirement in self.requirements:
            if (get(requirement.key) == requirement.value) != (requirement.operator == "="):
                return False
        return True

    def exact(self, key: str) -> str | None:
        """The value the selector demands of a field, if it demands one."""
        for requirement in self.requirements:
            if requirement.key == key and requirement.operator == "=":
                return requirement.value
        return None

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


def parse_labels(text: str) -> Labels:
    """A label selector of a query, such as `app in (web,api),!canary`. ValueError has Kubernetes' message."""
    tokens = _Tokens(_bounded(text))
    requirements: list[Requirement] = []
    while tokens.peek():
        if tokens.peek() in _SPECIAL - {"!"}:
            raise ValueError(f"found '{_shown(tokens.peek())}', expected: !, identifier, or 'end of string'")
        try:
            requirements.append(_requirement(tokens))
        except ValueError as error:
            raise ValueError(f"unable to parse requirement: {error}") from None
        if not _comma(tokens):
            break
    return Labels(_sorted(requirements)) if requirements else EVERYTHING


def from_label_selector(selector: LabelSelector | None) -> Labels:
    """The selector of an object: none selects nothing, an empty one everything. ValueError when a rule is broken."""
    if selector is None:
        return NOTHING
    requirements = [_checked(key, "=", (value,)) for key, value in selector.match_labels.items()]
    for each in selector.match_expressions:
        operator = _SELECTOR_OPERATORS.get(each.operator)
        if operator is None:
            raise ValueError(f'"{_shown(each.operator)}" is not a valid label selector operator')
        requirements.append(_checked(each.key, operator, each.values))
    return Labels(_sorted(requirements)) if requirements else EVERYTHING


def from_labels(labels: Mapping[str, str]) -> Labels:
    """Just these labels with just these values, unchecked: a Service's selector, a node selector."""
    return Labels(_sorted([Requirement(key, "=", (value,)) for key, value in labels.items()]))


def parse_fields(text: str) -> Fields:
    r"""A field selector of a query, such as `spec.nodeName=n1,status.phase!=Failed`. ValueError if it is none.

    In a value `\`, `,` and `=` are written with a backslash before them.
    """
    terms = [term for term in sorted(_terms(_bounded(text))) if term]
    if len(terms) > REQUIREMENTS_MAX:
        _too_many()
    return Fields(tuple(_field_requirement(text, term) for term in terms))


def escape_field_value(value: str) -> str:
    """The value as it stands in a field selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _bounded(text: str) -> str:
    if len(text) > SELECTOR_CHARACTERS_MAX:
        raise ValueError(f"a selector must be no more than {SELECTOR_CHARACTERS_MAX} characters")
    return text


def _too_many() -> NoReturn:
    raise ValueError(f"a selector must have no more than {REQUIREMENTS_MAX} requirements")


def _sorted(requirements: list[Requirement]) -> tuple[Requirement, ...]:
    """By key, as Kubernetes does; equal keys keep their order."""
    if len(requirements) > REQUIREMENTS_MAX:
        _too_many()
    return tuple(sorted(requirements, key=lambda each: each.key))


def _among(value: str, sorted_values: tuple[str, ...]) -> bool:
    """Also fast for a selector of thousands of values on thousands of objects."""
    if len(sorted_values) <= 8:
        return value in sorted_values
    index = bisect_left(sorted_values, value)
    return index < len(sorted_values) and sorted_values[index] == value


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "..."


class _Tokens:
    """The words and signs of a label selector; "" is its end."""

    def __init__(self, text: str) -> None:
        self._tokens = [match[1] for match in _token_re.finditer(text)]
        self._position = 0

    def peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._position += 1
        return token


def _requirement(tokens: _Tokens) -> Requirement:
    denied = tokens.peek() == "!"
    if denied:
        tokens.take()
    key = tokens.take()
    if not key or key in _SPECIAL:
        raise ValueError(f"found '{_shown(key)}', expected: identifier")
    if found := is_qualified_name(key):
        raise ValueError(f'<nil>: Invalid value: "{_shown(key)}": {"; ".join(found)}')
    if denied or tokens.peek() in ("", ","):
        return _checked(key, "!" if denied else "exists", ())
    word = tokens.take()
    operator = _OPERATORS.get(word)
    if operator is None:
        raise ValueError(f"found '{_shown(word)}', expected: in, notin, =, ==, !=, gt, lt")
    return _checked(key, operator, _set(tokens) if operator in ("in", "notin") else _single(tokens))


def _comma(tokens: _Tokens) -> bool:
    """True when another requirement must follow."""
    word = tokens.take()
    if not word:
        return False
    if word != ",":
        raise ValueError(f"found '{_shown(word)}', expected: ',' or 'end of string'")
    following = tokens.peek()
    if not following or following in _SPECIAL - {"!"}:
        raise ValueError(f"found '{following}', expected: identifier after ','")
    return True


def _single(tokens: _Tokens) -> tuple[str, ...]:
    if tokens.peek() in ("", ","):
        return ("",)
    word = tokens.take()
    if word in _SPECIAL:
        raise ValueError(f"found '{_shown(word)}', expected: identifier")
    return (word,)


def _set(tokens: _Tokens) -> tuple[str, ...]:
    """`(a,b)`; what is left out between commas is the empty value."""
    word = tokens.take()
    if word != "(":
        raise ValueError(f"found '{_shown(word)}' expected: '('")
    values = {_set_value(tokens)}
    while (word := tokens.take()) == ",":
        values.add(_set_value(tokens))
    if word != ")":
        raise ValueError(f"found '{_shown(word)}', expected: ',' or ')'")
    return tuple(sorted(values))


def _set_value(tokens: _Tokens) -> str:
    token = tokens.peek()
    if token in (",", ")"):
        return ""
    if not token or token in _SPECIAL:
        raise ValueError(f"found '{_shown(token)}', expected: ',', ')' or identifier")
    return tokens.take()


def _checked(key: str, operator: Operator, values: Sequence[str]) -> Requirement:
    """A requirement that keeps the rules; else a ValueError that tells each broken one."""
    found = [f'key: Invalid value: "{_shown(key)}": {"; ".join(broken)}'] if (broken := is_qualified_name(key)) else []
    found += _value_errors(key, operator, values)
    if found:
        raise ValueError(found[0] if len(found) == 1 else f"[{', '.join(found)}]")
    return Requirement(key, operator, tuple(sorted(set(values))))


def _value_errors(key: str, operator: Operator, values: Sequence[str]) -> Iterator[str]:
    if operator in ("in", "notin") and not values:
        yield "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
    if operator in ("exists", "!") and values:
        shown = _shown(msgspec.json.encode(list(values)).decode())
        yield f"values: Invalid value: {shown}: values set must be empty for exists and does not exist"
    if operator in ("gt", "lt") and _integer(values[0]) is None:
        broken_rule = "for 'Gt', 'Lt' operators, the value must be an integer"
        yield f'values[0]: Invalid value: "{_shown(values[0])}": {broken_rule}'
    for index, value in enumerate(values):
        if broken := is_label_value(value):
            yield f'values[{index}][{_shown(key)}]: Invalid value: "{_shown(value)}": {"; ".join(broken)}'


def _integer(text: str) -> int | None:
    """A number of 64 bits."""
    number = int(text) if _integer_re.fullmatch(text) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def _terms(text: str) -> list[str]:
    """Splits at commas that have no backslash before them."""
    return re.findall(r"(?:[^\\,]|\\.|\\\Z)+", text, re.DOTALL)


def _field_requirement(text: str, term: str) -> FieldRequirement:
    match = re.search("!=|==|=", term)
    if match is None:
        raise ValueError(f"invalid selector: '{_shown(text)}'; can't understand '{_shown(term)}'")
    value = _unescaped(term[match.end() :])
    return FieldRequirement(term[: match.start()], "!=" if match[0] == "!=" else "=", value)


def _unescaped(text: str) -> str:
    if "\\" not in text and "=" not in text:
        return text
    return re.sub(r"\\(.?)|=", _unescape, text, flags=re.DOTALL)


def _unescape(match: re.Match[str]) -> str:
    if match[0] == "=":
        raise ValueError(f"invalid field selector: unescaped character in value: {ord('=')}")
    if match[1] not in ("\\", ",", "=") or not match[1]:
        raise ValueError(f"invalid field selector: invalid escape sequence: {match[0]}")
    return match[1]
