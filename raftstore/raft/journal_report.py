"""What a journal folder holds, told without changing a byte: for `kmini doctor` and `kmini recover`.

Unlike opening, looking needs no identity: the newest readable segment header says whose journal it is.
"""

from __future__ import annotations

import msgspec

from ..disk import Disk, opened
from . import segment
from .damage import ASIDE_PREFIX, read_flag
from .engine import Configuration
from .journal_disk import read_whole
from .recovery import Damage, Recovered, recover
from .segment import Header


class SegmentReport(msgspec.Struct, frozen=True):
    """`start_index`: the log's last index when the segment was begun; None when its header is bad."""

    name: str
    start_index: int | None
    size_bytes: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`damage` is found now, `noted_damage` was found earlier and is not mended by a leader yet.

    `base_index` and `last_index` are of the part that can be trusted; both 0 when nothing can.
    """

    cluster_id: int
    member_id: int
    segments: tuple[SegmentReport, ...]
    base_index: int
    base_term: int
    last_index: int
    last_term: int
    term: int
    voted_for: int
    configuration: Configuration | None
    damage: Damage | None
    noted_damage: Damage | None
    harmless: tuple[Damage, ...]
    set_aside: tuple[str, ...]  # files of earlier damage

    @property
    def sound(self) -> bool:
        return self.damage is None and self.noted_damage is None


def scan(disk: Disk) -> Report | None:
    """None when there is no journal. Raises UnknownFormat, WrongCluster (segments of two members), OSError."""
    owner = owner_of(disk)
    if owner is None:
        return None
    names = disk.names()
    found = recover(names, lambda name: read_whole(disk, name), cluster_id=owner.cluster_id, member_id=owner.member_id)
    flag = read_flag(disk)
    log = found.log
    return Report(
        cluster_id=owner.cluster_id,
        member_id=owner.member_id,
        segments=_segments(disk, found),
        base_index=log.base_index if log else 0,
        base_term=log.base_term if log else 0,
        last_index=log.last_index if log else 0,
        last_term=log.last_term if log else 0,
        term=max(found.term, flag.term if flag else 0),
        voted_for=flag.voted_for if flag and flag.term > found.term else found.voted_for,
        configuration=log.configuration_at(log.last_index)[1] if log else None,
        damage=found.damage,
        noted_damage=flag.damage if flag else None,
        harmless=tuple(found.harmless),
        set_aside=tuple(name for name in names if name.startswith(ASIDE_PREFIX)),
    )


def owner_of(disk: Disk) -> Header | None:
    """The header of the newest segment that has a good one. Raises UnknownFormat, OSError."""
    for name in reversed([name for name in disk.names() if segment.segment_sequence(name) is not None]):
        with opened(disk, name) as file:
            header = segment.decode_header(file.read_at(0, segment.RECORDS_START))
        if header is not None:
            return header
    return None


def _segments(disk: Disk, found: Recovered) -> tuple[SegmentReport, ...]:
    reports = []
    for info in found.segments:
        with opened(disk, info.name) as file:
            reports.append(SegmentReport(info.name, info.start_index, file.size()))
    return tuple(reports)
