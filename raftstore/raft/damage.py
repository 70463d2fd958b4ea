"""What happens to a journal that is found damaged: a flag that lasts, and nothing thrown away.

The flag is a file of its own, durable before anything else is touched: a replica that crashes while it
mends its journal, or any time before it has caught up again, still knows that it must not vote. It keeps
term and vote too, for the record of them may lie in what is set aside. The bad segment is copied whole
to `damaged-...` and only then cut; segments behind it are renamed. A person decides when those files go.
"""

from __future__ import annotations

import msgspec

from ..disk import Disk, opened
from ..identity import replace_file
from . import segment
from .recovery import Damage, Recovered
from .segment import RECORDS_START

FLAG_NAME = "journal-damage"
ASIDE_PREFIX = "damaged-"
FLAG_BYTES_MAX = 4096

_FORMAT_VERSION = 1
_COPY_BYTES = 1 << 20


class Flag(msgspec.Struct, frozen=True):
    damage: Damage
    term: int = 0
    voted_for: int = 0
    format: int = _FORMAT_VERSION


def read_flag(disk: Disk) -> Flag | None:
    """The damage noted earlier. A flag that cannot be read is a flag all the same."""
    if not disk.exists(FLAG_NAME):
        return None
    with opened(disk, FLAG_NAME) as file:
        raw = file.read_at(0, FLAG_BYTES_MAX)
    try:
        flag = msgspec.json.decode(raw, type=Flag)
    except msgspec.DecodeError:
        return Flag(Damage(FLAG_NAME, 0, 0, "the note about earlier damage cannot be read"))
    if flag.format != _FORMAT_VERSION:
        return Flag(Damage(FLAG_NAME, 0, 0, f"the note about earlier damage has format {flag.format}"))
    return flag


def write_flag(disk: Disk, flag: Flag) -> None:
    """Durable on return. Raises OSError."""
    replace_file(disk, FLAG_NAME, msgspec.json.encode(flag))


def remove_flag(disk: Disk) -> None:
    """Durable on return; nothing happens when there is none. Raises OSError."""
    if disk.exists(FLAG_NAME):
        disk.remove(FLAG_NAME)
        disk.sync_folder()


def set_aside(disk: Disk, found: Recovered) -> None:
    """Move all that `found` does not keep out of the way. The flag is durable already. Raises OSError.

    May be interrupted and begun again at any point: each step leaves a folder that reads back as the same
    good entries. The bad end of the last segment kept is copied here and cut by the caller.
    """
    tail = found.tail
    kept = -1 if tail is None else tail.sequence
    if tail is not None and tail.offset <= RECORDS_START:
        kept, tail = tail.sequence - 1, None
    for info in reversed(found.segments):
        if info.sequence > kept:
            disk.rename(info.name, _aside_name(disk, info.name))
    found.segments = [info for info in found.segments if info.sequence <= kept]
    found.tail = tail
    if tail is not None:
        _copy(disk, segment.segment_name(tail.sequence))
    disk.sync_folder()


def _copy(disk: Disk, name: str) -> None:
    with opened(disk, name) as source, opened(disk, _aside_name(disk, name), create=True) as target:
        for offset in range(0, source.size(), _COPY_BYTES):
            target.write_at(offset, source.read_at(offset, _COPY_BYTES))
        target.sync()


def _aside_name(disk: Disk, name: str) -> str:
    number = 1
    while disk.exists(aside := f"{ASIDE_PREFIX}{number}-{name}"):
        number += 1
    return aside
