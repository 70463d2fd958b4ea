"""YAML as kubectl writes it: sorted keys, lists not indented, strings quoted only where they would be read as others.

The emitter is PyYAML's, which comes from the same library as Go's; what is its own here is when a string is quoted
(YAML 1.1's words and numbers, as go-yaml reads them).
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_WORDS = {
    word
    for plain in ("y", "yes", "true", "on", "n", "no", "false", "off", "null")
    for word in (plain, plain.capitalize(), plain.upper())
} | {"", "~", "<<", ".nan", ".NaN", ".NAN"}
#: Line ends of YAML 1.1 that others do not take for one.
_ODD_BREAKS = frozenset("\x85\u2028\u2029\r\ufeff")
_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"  # decimal
    r"|[-+]?(0x[0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+|[0-9][0-9_]*)"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # base 60
    r"|[-+]?\.(inf|Inf|INF)"
)
_TIME = re.compile(r"\d{4}-\d\d?-\d\d?([Tt]|[ \t]+\d|$).*")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False if flow else indentless)


def is_ambiguous(text: str) -> bool:
    """Read as something else than a string when it stands there plain."""
    return text in _WORDS or bool(_NUMBER.fullmatch(text)) or bool(_TIME.match(text))


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if is_ambiguous(text) or _ODD_BREAKS & set(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _number(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    if number.is_integer() and abs(number) < 1e21:
        return dumper.represent_scalar("tag:yaml.org,2002:int", str(int(number)))
    return dumper.represent_scalar("tag:yaml.org,2002:float", repr(number))


_Dumper.add_representer(str, _string)
_Dumper.add_representer(float, _number)


def dump(value: Any) -> str:
    """With a line end."""
    return str(
        yaml.dump(
            value,
            Dumper=_Dumper,
            default_flow_style=False,
            allow_unicode=True,
            sort_keys=True,
            width=80,
        )
    )
