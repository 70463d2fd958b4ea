"""Lines of a container's log, from the CRI's form to what `kubectl logs` shows. Pure.

The CRI's form is `TIME STREAM F|P TEXT`: P is a part of a line, whose end comes with a later one. Parts are put
together by leaving out their newlines; a time is shown where a line begins. A line that is none is left out, as the
kubelet does: it was torn when the machine lost power.
"""

from __future__ import annotations

import datetime
import re

_NANOSECONDS = 1_000_000_000
_SECOND = 19  # characters of a time up to its seconds
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)")
_STREAMS = (b"stdout", b"stderr")
_PART = b"P"


class LogLines:
    """What is shown of raw lines, one after another. `since_ns`: only what is not older, since the epoch. `full` says
    that `limit_bytes` were shown, and nothing will be any more."""

    def __init__(
        self, *, timestamps: bool = False, since_ns: int | None = None, limit_bytes: int | None = None
    ) -> None:
        self._timestamps = timestamps
        self._since_ns = since_ns
        self._left = limit_bytes
        self._at_begin = True
        self._second: tuple[bytes, bytes, int | None] = (b"", b"", None)  # the last one: most lines are of the same

    @property
    def full(self) -> bool:
        return self._left is not None and self._left <= 0

    def shown(self, raw: bytes) -> bytes:
        """Of whole raw lines; the last may lack its newline."""
        made = bytearray()
        *whole, last = raw.split(b"\n")
        for line in whole:
            self._show(line, b"\n", made)
        if last:
            self._show(last, b"", made)
        if self._left is not None:
            del made[self._left :]
            self._left -= len(made)
        return bytes(made)

    def _show(self, line: bytes, newline: bytes, made: bytearray) -> None:
        parts = line.split(b" ", 3)
        if len(parts) < 4 or parts[1] not in _STREAMS:
            return
        time, _, tag, text = parts
        if self._since_ns is not None and self._is_before(time, self._since_ns):
            return
        if self._timestamps and self._at_begin:
            made += _nine_digits(time) + b" "
        partial = tag[:1] == _PART
        made += text if partial else text + newline
        self._at_begin = not partial

    def _is_before(self, time: bytes, since_ns: int) -> bool:
        """A time that cannot be read is none before anything."""
        second, zone = time[:_SECOND], _zone(time)
        if self._second[:2] != (second, zone):
            self._second = (second, zone, time_ns((second + zone).decode("ascii", "replace")))
        whole = self._second[2]
        if whole is None:
            return False
        if not whole <= since_ns < whole + _NANOSECONDS:
            return whole < since_ns
        exact = time_ns(time.decode("ascii", "replace"))
        return exact is not None and exact < since_ns


def _nine_digits(time: bytes) -> bytes:
    """The runtime leaves zeros out at the end; people get columns. What is no time is shown as it is."""
    zone = _zone(time)
    rest = time[: -len(zone)]
    if len(rest) < _SECOND or rest[10:11] != b"T":
        return time
    return b"%s.%s%s" % (rest[:_SECOND], rest[_SECOND + 1 : _SECOND + 10].ljust(9, b"0"), zone)


def _zone(time: bytes) -> bytes:
    return b"Z" if time.endswith(b"Z") else time[-6:]


def time_ns(text: str) -> int | None:
    """A moment in RFC 3339's form, since the epoch; None when it is none."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    second, fraction, zone = found.groups()
    try:
        whole = int(datetime.datetime.fromisoformat(second + zone).timestamp())
    except ValueError:
        return None
    return whole * _NANOSECONDS + int((fraction or "0").ljust(9, "0"))


def ends_line(raw: bytes) -> bool:
    """Whether a line that people see ends with this raw one."""
    parts = raw.split(b" ", 3)
    return len(parts) == 4 and parts[1] in _STREAMS and parts[2][:1] != _PART
