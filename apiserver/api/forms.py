"""How one version of an object becomes the next one and comes back: a table of fields instead of pairs of functions.

A `Form` stands between a smaller struct (`shown`) and the one it is kept as (`stored`). `down` shows what is stored.
`up` writes what was shown over an old stored struct: it changes only what the shown struct has fields for. Three laws
hold for every form, and tests check them on random objects:

- showing what was written over nothing gives what was written: `down(up(shown, None)) == shown`;
- writing what was just shown changes nothing: `up(down(stored), stored) == stored`;
- showing what was written over an old object gives what was written: `down(up(shown, old)) == shown`, but for fields
  that a writer cannot change or may leave out (`Settled` and what a version says of its own).

Fields of one name and kind need no word. A field that moved or changed is a `Field` given by name. A field that exists
on one side only and was not spoken of is a TypeError when the form is made, that is at import.
"""

from __future__ import annotations

import copy
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T", bound=msgspec.Struct)


class Field(Protocol):
    """One field of the shown struct; both methods see the whole structs on the stored side."""

    def show(self, stored: Any) -> Any:
        """The value to show."""

    def write(self, value: Any, stored: Any, old: Any | None) -> None:
        """Bring the shown value into `stored`, which is a copy of `old`, or new when that is None."""


class Same:
    """The same value under `name` on the stored side."""

    def __init__(self, name: str) -> None:
        self.name = name

    def show(self, stored: Any) -> Any:
        return getattr(stored, self.name)

    def write(self, value: Any, stored: Any, old: Any | None) -> None:
        setattr(stored, self.name, value)


class Settled(Same):
    """Like Same, for what stays as it is once it is set: a writer that leaves it `unset` says nothing about it."""

    def __init__(self, name: str, *, unset: Any = "") -> None:
        super().__init__(name)
        self.unset = unset

    def write(self, value: Any, stored: Any, old: Any | None) -> None:
        if value != self.unset or old is None:
            setattr(stored, self.name, value)


class Fixed:
    """What is the same for all objects of a version, as `apiVersion` is."""

    def __init__(self, name: str, *, shown: Any, stored: Any) -> None:
        self.name = name
        self.shown = shown
        self.stored = stored

    def show(self, stored: Any) -> Any:
        return self.shown

    def write(self, value: Any, stored: Any, old: Any | None) -> None:
        setattr(stored, self.name, self.stored)


class Entry:
    """The value under `key` of the map `name`; None where there is none. Other keys stay."""

    def __init__(self, name: str, key: str) -> None:
        self.name = name
        self.key = key

    def show(self, stored: Any) -> Any:
        return getattr(stored, self.name).get(self.key)

    def write(self, value: Any, stored: Any, old: Any | None) -> None:
        entries = dict(getattr(stored, self.name))
        entries.pop(self.key, None) if value is None else entries.update({self.key: value})
        setattr(stored, self.name, entries)


class Inside:
    """A field that lies one struct deeper on the stored side, in `name`."""

    def __init__(self, name: str, field: Field) -> None:
        self.name = name
        self.field = field

    def show(self, stored: Any) -> Any:
        return self.field.show(getattr(stored, self.name))

    def write(self, value: Any, stored: Any, old: Any | None) -> None:
        inner = copy.copy(getattr(stored, self.name))
        self.field.write(value, inner, None if old is None else getattr(old, self.name))
        setattr(stored, self.name, inner)


class Nested(Generic[S, T]):
    """A struct inside: `name` is converted by `form`."""

    def __init__(self, name: str, form: Form[S, T]) -> None:
        self.name = name
        self.form = form

    def show(self, stored: Any) -> Any:
        inner = getattr(stored, self.name)
        return None if inner is None else self.form.down(inner)

    def write(self, value: Any, stored: Any, old: Any | None) -> None:
        inner = None if old is None else getattr(old, self.name)
        setattr(stored, self.name, None if value is None else self.form.up(value, inner))


class Each(Generic[S, T]):
    """A list of structs that have a `key`: each is written over the old one of that key, in the order shown.

    Where a key repeats, the first meets the first, the second the second.
    """

    def __init__(self, name: str, form: Form[S, T], key: Callable[[Any], Hashable]) -> None:
        self.name = name
        self.form = form
        self.key = key

    def show(self, stored: Any) -> Any:
        return [self.form.down(each) for each in getattr(stored, self.name)]

    def write(self, value: Any, stored: Any, old: Any | None) -> None:
        known: defaultdict[Hashable, deque[Any]] = defaultdict(deque)
        for each in getattr(old, self.name) if old is not None else ():
            known[self.key(each)].append(each)
        written = []
        for each in value:
            matching = known[self.key(each)]
            written.append(self.form.up(each, matching.popleft() if matching else None))
        setattr(stored, self.name, written)


class Form(Generic[S, T]):
    """Between the struct types `shown` and `stored`; `fields` says what became of the shown fields that changed."""

    def __init__(self, shown: type[S], stored: type[T], **fields: Field) -> None:
        self.shown = shown
        self.stored = stored
        there = {field.name: field.type for field in msgspec.structs.fields(stored)}
        own = {field.name: field.type for field in msgspec.structs.fields(shown)}
        unspoken = [name for name, kind in own.items() if name not in fields and there.get(name) != kind]
        stray = [name for name in fields if name not in own]
        if unspoken or stray:
            names = ", ".join(unspoken + stray)
            raise TypeError(f"between {shown.__qualname__} and {stored.__qualname__}: nothing fits {names}")
        self.fields: dict[str, Field] = {name: fields.get(name) or Same(name) for name in own}

    def down(self, stored: T) -> S:
        """What is shown of a stored struct. Shares parts with it: do not change either."""
        return self.shown(**{name: field.show(stored) for name, field in self.fields.items()})

    def up(self, shown: S, old: T | None) -> T:
        """The struct to store. Shares parts with `shown` and `old`."""
        stored = self.stored() if old is None else copy.copy(old)
        for name, field in self.fields.items():
            field.write(getattr(shown, name), stored, old)
        return stored


class Step(Protocol):
    """From one version of a kind to the next newer one, and back. A Form is one."""

    def down(self, stored: Any) -> Any:
        """The older version's object."""

    def up(self, shown: Any, old: Any | None) -> Any:
        """The newer version's object; what the older cannot show comes from `old`, an object of the newer version."""


class Steps:
    """Several steps as one, oldest version first. Each needs to know its neighbour only."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps

    def down(self, stored: Any) -> Any:
        for step in reversed(self.steps):
            stored = step.down(stored)
        return stored

    def up(self, shown: Any, old: Any | None) -> Any:
        olds = [old]
        for step in reversed(self.steps[1:]):
            olds.append(None if old is None else step.down(olds[-1]))
        for step, its_old in zip(self.steps, reversed(olds), strict=True):
            shown = step.up(shown, its_old)
        return shown
