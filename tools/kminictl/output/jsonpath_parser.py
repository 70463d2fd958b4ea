"""From the text of a jsonpath template to its nodes. Bounded by the text's length; no evaluation here."""

from __future__ import annotations

import re

import msgspec


class Node(msgspec.Struct, frozen=True):
    """Part of a template."""


class Text(Node, frozen=True):
    text: str


class Path(Node, frozen=True):
    steps: list[Node]


class Range(Node, frozen=True):
    path: Path
    body: list[Node]


class End(Node, frozen=True):
    pass


class Root(Node, frozen=True):
    pass


class Field(Node, frozen=True):
    name: str


class Each(Node, frozen=True):
    """`.*`"""


class Everything(Node, frozen=True):
    """`[*]`"""


class Recursive(Node, frozen=True):
    """`..`"""


class Indices(Node, frozen=True):
    indices: tuple[int, ...]


class Slice(Node, frozen=True):
    start: int | None
    stop: int | None
    step: int | None


class Union(Node, frozen=True):
    paths: list[Path]


class Filter(Node, frozen=True):
    left: Path
    operator: str = ""
    right: Path | None = None


_FIELD = re.compile(r"(?:\\.|[^\s.\[\]{}()|,:?@$'\"<>=!*])+")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d+))?")
_INDICES = re.compile(r"-?\d+(,-?\d+)*")
_OPERATOR = re.compile(r"==|!=|<=|>=|<|>")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse(template: str) -> list[Node]:
    """Raises ValueError saying what is wrong."""
    flat = list(_pieces(template))
    nodes, rest = _nested(flat, 0, inside=False)
    assert rest == len(flat)
    return nodes


def _pieces(template: str) -> list[Node]:
    """Texts, paths, ranges without their bodies, and ends."""
    found: list[Node] = []
    position = 0
    while position < len(template):
        opening = template.find("{", position)
        if opening < 0:
            opening = len(template)
        if opening > position:
            found.append(Text(template[position:opening]))
        if opening == len(template):
            break
        closing = _closing(template, opening + 1)
        found += _Action(template[opening + 1 : closing]).nodes()
        position = closing + 1
    return found


def _closing(template: str, position: int) -> int:
    quote = ""
    while position < len(template):
        character = template[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character == "}":
            return position
        position += 1
    raise ValueError("unclosed action")


def _nested(flat: list[Node], position: int, *, inside: bool) -> tuple[list[Node], int]:
    nodes: list[Node] = []
    while position < len(flat):
        node = flat[position]
        position += 1
        if isinstance(node, End):
            if not inside:
                raise ValueError("not in range, nothing to end")
            return nodes, position
        if isinstance(node, Range):
            body, position = _nested(flat, position, inside=True)
            node = Range(node.path, body)
        nodes.append(node)
    if inside:
        raise ValueError("unclosed range")
    return nodes, position


class _Action:
    """What stands between a pair of braces."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def nodes(self) -> list[Node]:
        stripped = self._text.strip()
        if stripped == "end":
            return [End()]
        if stripped.startswith("range ") or stripped == "range":
            return [Range(_Action(stripped.removeprefix("range")).path(), [])]
        return [self.path()]

    def path(self) -> Path:
        steps: list[Node] = []
        while True:
            self._skip_spaces()
            if self._at >= len(self._text):
                return Path(steps)
            steps += self._step(first=not steps)

    def _step(self, *, first: bool) -> list[Node]:
        character = self._text[self._at]
        if character == "$":
            self._at += 1
            return [Root()]
        if character == "@":
            self._at += 1
            return []
        if character in "\"'":
            return [Text(self._quoted())]
        if character == ".":
            return self._dotted()
        if character == "[":
            return [self._bracket()]
        if match := _NUMBER.match(self._text, self._at):
            self._at = match.end()
            return [_number(match[0])]
        if first and (match := _FIELD.match(self._text, self._at)):
            self._at = match.end()
            if match[0] in ("true", "false"):
                return [_Literal(match[0] == "true")]
            raise ValueError(f"unrecognized identifier {match[0]}")
        raise ValueError(f"unrecognized character in action: U+{ord(character):04X} '{character}'")

    def _dotted(self) -> list[Node]:
        self._at += 1
        if self._text.startswith(".", self._at):
            self._at += 1
            found: list[Node] = [Recursive()]
            if match := _FIELD.match(self._text, self._at):
                self._at = match.end()
                found.append(Field(_unescaped(match[0])))
            return found
        if self._text.startswith("*", self._at):
            self._at += 1
            return [Each()]
        match = _FIELD.match(self._text, self._at)
        if match is None:
            return []  # `{.}`, `.[0]`
        self._at = match.end()
        return [Field(_unescaped(match[0]))]

    def _bracket(self) -> Node:
        self._at += 1
        end = self._matching("[", "]")
        inner = self._text[self._at : end].strip()
        self._at = end + 1
        if inner == "*":
            return Everything()
        if inner.startswith("?(") and inner.endswith(")"):
            return _filter(inner[2:-1])
        if _INDICES.fullmatch(inner):
            return Indices(tuple(map(int, inner.split(","))))
        if match := _SLICE.fullmatch(inner):
            return Slice(*(int(each) if each else None for each in match.groups()))
        parts = _split(inner)
        fields = [_bracket_field(part.strip()) for part in parts]
        return fields[0].steps[0] if len(fields) == 1 else Union(fields)

    def _matching(self, opening: str, closing: str) -> int:
        depth, quote = 1, ""
        for index in range(self._at, len(self._text)):
            character = self._text[index]
            if quote:
                quote = "" if character == quote and self._text[index - 1] != "\\" else quote
            elif character in "\"'":
                quote = character
            elif character == opening:
                depth += 1
            elif character == closing:
                depth -= 1
                if depth == 0:
                    return index
        raise ValueError("unterminated array")

    def _quoted(self) -> str:
        quote, start = self._text[self._at], self._at + 1
        index = start
        while index < len(self._text) and self._text[index] != quote:
            index += 2 if self._text[index] == "\\" else 1
        if index >= len(self._text):
            raise ValueError("unterminated quoted string")
        self._at = index + 1
        return _unquoted(self._text[start:index])

    def _skip_spaces(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1


class _Literal(Text, frozen=True):
    """A number or a truth in a filter; `text` holds the value itself."""

    text: bool | int | float  # type: ignore[assignment]  # narrower on purpose


def _number(text: str) -> Node:
    return _Literal(float(text) if "." in text else int(text))


def _bracket_field(part: str) -> Path:
    if len(part) >= 2 and part[0] in "\"'" and part[-1] == part[0]:
        return Path([Field(_unquoted(part[1:-1]))])
    if part.startswith((".", "@")):
        return _Action(part).path()
    raise ValueError(f"invalid array index {part}")


def _filter(text: str) -> Filter:
    quote = ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[index - 1] != "\\" else quote
        elif character in "\"'":
            quote = character
        elif match := _OPERATOR.match(text, index):
            return Filter(_Action(text[:index]).path(), match[0], _Action(text[match.end() :]).path())
    return Filter(_Action(text).path())


def _split(text: str) -> list[str]:
    """At commas that are in no quotes."""
    parts, quote = [""], ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == ",":
            parts.append("")
            continue
        parts[-1] += character
    return parts


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text)
