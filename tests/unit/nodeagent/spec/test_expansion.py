"""$(NAME) stands for a variable; what does not is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.spec.expansion import expand, expand_all

KNOWN = {"A": "1", "B": "two", "EMPTY": "", "NEST": "$(A)", "x y": "odd"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$(A)", "1"),
        ("$(A)$(B)", "1two"),
        ("-$(EMPTY)-", "--"),
        ("$(x y)", "odd"),
        ("$(NONE)", "$(NONE)"),
        ("$(NONE", "$(NONE"),
        ("$()", "$()"),
        ("$A $", "$A $"),
        ("$$", "$"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(NEST)", "$(A)"),
        ("$($(A))", "$($(A))"),
        ("$(A", "$(A"),
        ("a$(B)c$", "atwoc$"),
        ("$(B)\n$(A)", "two\n1"),
    ],
)
def test_table(text: str, expanded: str) -> None:
    assert expand(text, KNOWN) == expanded


def test_the_first_who_knows_it_says_it() -> None:
    assert expand("$(A)$(C)", {"A": "own"}, {"A": "other", "C": "3"}) == "own3"
    assert expand_all(["$(A)", "b"], KNOWN) == ["1", "b"]


def by_hand(text: str, known: dict[str, str]) -> str:
    """The rules one character at a time."""
    found, position = "", 0
    while position < len(text):
        rest = text[position:]
        if rest.startswith("$$"):
            found, position = found + "$", position + 2
        elif rest.startswith("$(") and ")" in rest:
            name = rest[2 : rest.index(")")]
            found += known.get(name, f"$({name})")
            position += len(name) + 3
        else:
            found, position = found + rest[0], position + 1
    return found


@given(st.text("$()ABé ", max_size=30))
def test_any_text(text: str) -> None:
    assert expand(text, KNOWN) == by_hand(text, KNOWN)
