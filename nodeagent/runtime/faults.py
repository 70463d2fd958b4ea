"""What can go wrong with simulated containers, on demand: by a rule that matches pods, or by a pod's own annotation.

The annotation `kmini.local/fault` holds one fault as text, such as `exit after=5 code=3` or `never-ready`, so that it
can be tried with kubectl alone. A fault also strikes what runs already, and ends when its rule is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, get_args

import msgspec

from .interface import PodKey

ANNOTATION = "kmini.local/fault"
RULES_MAX = 1000

What = Literal["sandbox", "image", "create", "start", "exit", "never-ready", "deaf"]
_KILLED = 137


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """what: sandbox, image, create, start: that call fails, with `message`. exit: the container ends by itself `after`
    seconds after its start. never-ready: no probe succeeds. deaf: it does not end when asked to.

    container: only those of this name; all when empty.
    """

    what: What
    container: str = ""
    after: float = 0.0
    code: int = 1
    reason: str = ""
    message: str = ""

    @classmethod
    def bad_image(cls, message: str = "not found", *, reason: str = "") -> Fault:
        return cls(what="image", message=message, reason=reason)

    @classmethod
    def exits(cls, *, after_s: float = 0.0, code: int = 1, container: str = "") -> Fault:
        return cls(what="exit", after=after_s, code=code, container=container)

    @classmethod
    def runs_out_of_memory(cls, *, after_s: float = 0.0, container: str = "") -> Fault:
        return cls(what="exit", after=after_s, code=_KILLED, reason="OOMKilled", container=container)

    @classmethod
    def never_ready(cls, *, container: str = "") -> Fault:
        return cls(what="never-ready", container=container)

    @classmethod
    def deaf(cls, *, container: str = "") -> Fault:
        return cls(what="deaf", container=container)


class _Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of the annotation that have a value."""

    container: str = ""
    after: float = 0.0
    code: int = 1
    reason: str = ""
    message: str = ""


def parse_fault(text: str) -> Fault:
    """`exit after=5 code=3`. Raises ValueError saying what is wrong."""
    what, *words = text.split()[:20] or [""]
    if what not in get_args(What):
        raise ValueError(f"{what!r} is no fault; there is {', '.join(get_args(What))}")
    pairs = dict(word.partition("=")[::2] for word in words)
    try:
        given = msgspec.convert(pairs, _Text, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{text[:80]!r}: {error}") from None
    return Fault(what=what, **msgspec.structs.asdict(given))  # type: ignore[arg-type]  # one of the words above


Matches = Callable[[PodKey, Mapping[str, str]], bool]


class Rule(msgspec.Struct, frozen=True, eq=False):
    """`matches` sees a pod and its labels."""

    matches: Matches
    fault: Fault


class Faults:
    """The rules, shared by as many runtimes as like. Whoever listens is told when they change."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._listeners: list[Callable[[Rule], None]] = []

    def listen(self, changed: Callable[[Rule], None]) -> None:
        """`changed` gets the rule that came or went."""
        self._listeners.append(changed)

    def add(self, matches: Matches, fault: Fault) -> Rule:
        """Raises ValueError when there are too many."""
        if len(self._rules) >= RULES_MAX:
            raise ValueError(f"there are {RULES_MAX} faults already")
        rule = Rule(matches, fault)
        self._rules.append(rule)
        self._tell(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Once more does nothing."""
        if rule in self._rules:
            self._rules.remove(rule)
            self._tell(rule)

    def clear(self) -> None:
        for rule in list(self._rules):
            self.remove(rule)

    def of(self, what: What, pod: PodKey, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Iterator[Fault]:
        for rule in self._rules:
            if rule.fault.what == what and rule.matches(pod, labels):
                yield rule.fault
        text = annotations.get(ANNOTATION, "")
        if text.startswith(what):
            try:
                yield parse_fault(text)
            except ValueError:
                return  # whoever wrote it sees that nothing fails

    def _tell(self, rule: Rule) -> None:
        for listener in self._listeners:
            listener(rule)
