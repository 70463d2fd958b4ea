"""Where the log's entries lie on disk, and which configurations they brought: the journal in memory.

Flat arrays, 20 bytes per entry, no object per entry. Index, term and configuration of the base stand for
everything before the first entry, which a durable snapshot holds.
"""

from __future__ import annotations

from array import array

from .engine import Configuration

_SEQUENCE_SHIFT = 32
_OFFSET_MASK = (1 << _SEQUENCE_SHIFT) - 1


class LogIndex:
    """Entries (base_index, last_index]. `positions` are segment number << 32 | offset of the record."""

    __slots__ = ("base_configuration", "base_index", "base_term", "configurations", "lengths", "positions", "terms")

    def __init__(self, base_index: int, base_term: int, base_configuration: Configuration) -> None:
        self.base_index = base_index
        self.base_term = base_term
        self.base_configuration = base_configuration
        self.positions = array("Q")
        self.lengths = array("I")  # of the stored body
        self.terms = array("Q")
        self.configurations: list[tuple[int, Configuration]] = []  # of entries behind the base, ascending

    @property
    def last_index(self) -> int:
        return self.base_index + len(self.terms)

    @property
    def last_term(self) -> int:
        return self.terms[-1] if self.terms else self.base_term

    def term_at(self, index: int) -> int | None:
        """None outside [base_index, last_index]."""
        at = index - self.base_index
        if at <= 0:
            return None if at else self.base_term
        return self.terms[at - 1] if at <= len(self.terms) else None

    def locate(self, index: int) -> tuple[int, int, int]:
        """(segment number, offset, length of the stored body) of an entry behind the base."""
        at = index - self.base_index - 1
        position = self.positions[at]
        return position >> _SEQUENCE_SHIFT, position & _OFFSET_MASK, self.lengths[at]

    def truncate_from(self, index: int) -> None:
        """Drop the entries from `index` on; it lies behind the base."""
        at = index - self.base_index - 1
        del self.positions[at:], self.lengths[at:], self.terms[at:]
        while self.configurations and self.configurations[-1][0] >= index:
            self.configurations.pop()

    def move_base(self, index: int, term: int, configuration: Configuration) -> None:
        """Drop the entries up to `index`, which may lie beyond the last one."""
        count = min(index - self.base_index, len(self.terms))
        del self.positions[:count], self.lengths[:count], self.terms[:count]
        self.configurations = [item for item in self.configurations if item[0] > index]
        self.base_index, self.base_term, self.base_configuration = index, term, configuration

    def configuration_at(self, index: int) -> tuple[int, Configuration]:
        """The configuration in force at `index` and the entry that brought it (the base's index if none did)."""
        for at, configuration in reversed(self.configurations):
            if at <= index:
                return at, configuration
        return self.base_index, self.base_configuration


def position_of(sequence: int, offset: int) -> int:
    return sequence << _SEQUENCE_SHIFT | offset
