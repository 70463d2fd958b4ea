"""What `kmini doctor` looks at: disk, clock, certificates, and the cluster's quorum and lag.

A check returns findings and raises nothing it can name: a doctor that falls ill helps nobody. Every finding
that is not good says what to do.
"""

from __future__ import annotations

import ctypes
import datetime
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from .errors import CommandError
from .inspection import ClusterFacts, look
from .layout import Layout

Level = Literal["ok", "warning", "bad"]

FREE_SHARE_WARNING = 0.10
FREE_BYTES_BAD = 256 * 1024 * 1024
FSYNC_PROBES = 10
FSYNC_S_WARNING = 0.05  # a heartbeat is 0.1 s; etcd's tuning guide wants a p99 below 10 ms
CERTIFICATE_DAYS_WARNING = 30
LAG_ENTRIES_WARNING = 1_000
_STATUS_OFFSET_BYTES = 40  # struct timex: `status`, on 64-bit Linux
_STA_UNSYNC = 0x0040


class Finding(msgspec.Struct, frozen=True):
    check: str
    level: Level
    says: str
    do: str = ""


def examine(layout: Layout) -> list[Finding]:
    """Every check, the worst first."""
    found = [finding for check in CHECKS for finding in check(layout)]
    order: dict[Level, int] = {"bad": 0, "warning": 1, "ok": 2}
    return sorted(found, key=lambda finding: order[finding.level])


def check_space(layout: Layout) -> Iterator[Finding]:
    for folder in {layout.data_dir, layout.state.parent}:
        if not folder.exists():
            yield Finding("disk", "bad", f"{folder} does not exist", "give the --data-dir of a replica")
            continue
        usage = shutil.disk_usage(folder)
        says = f"{folder}: {usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free"
        if usage.free < FREE_BYTES_BAD:
            yield Finding("disk", "bad", says, "free space on this file system, or writes will be refused")
        elif usage.free < FREE_SHARE_WARNING * usage.total:
            yield Finding("disk", "warning", says, "free space on this file system")
        else:
            yield Finding("disk", "ok", says)


def check_fsync(layout: Layout) -> Iterator[Finding]:
    """How long the disk takes for what every write waits for."""
    folder = layout.raft if layout.raft.is_dir() else layout.data_dir
    if not folder.is_dir():
        return
    try:
        median_s = _median_fsync_s(folder)
    except OSError as error:
        yield Finding("fsync", "bad", f"cannot write to {folder}: {error.strerror}", "mend the file system's rights")
        return
    says = f"an fsync in {folder} takes {median_s * 1e3:.1f} ms"
    if median_s > FSYNC_S_WARNING:
        yield Finding("fsync", "warning", says, "every write waits for one: use a faster disk, or one less busy")
    else:
        yield Finding("fsync", "ok", says)


def _median_fsync_s(folder: Path) -> float:
    taken: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNC_PROBES):
            os.pwrite(file.fileno(), os.urandom(4096), 0)
            begin = time.monotonic()
            os.fdatasync(file.fileno())
            taken.append(time.monotonic() - begin)
    return statistics.median(taken)


def check_clock(_layout: Layout) -> Iterator[Finding]:
    """Whether the kernel says that something keeps the clock (adjtimex(2))."""
    buffer = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
        yield Finding("clock", "warning", "the kernel does not tell whether the clock is kept", "check it by hand")
        return
    status = int.from_bytes(buffer.raw[_STATUS_OFFSET_BYTES : _STATUS_OFFSET_BYTES + 4], "little")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    if status & _STA_UNSYNC:
        do = "run an NTP client: certificates and time stamps need a right clock (leases and elections do not)"
        yield Finding("clock", "warning", f"nothing keeps the clock; it says {now}", do)
    else:
        yield Finding("clock", "ok", f"kept; it says {now}")


def check_certificates(layout: Layout) -> Iterator[Finding]:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    for path in sorted(layout.pki.glob("*.crt")):
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            yield Finding("certificates", "bad", f"{path} cannot be read: {error}", "restore it from a backup")
            continue
        days = (certificate.not_valid_after_utc - now).days
        if now < certificate.not_valid_before_utc:
            yield Finding("certificates", "bad", f"{path} is not valid yet", "set this machine's clock right")
        elif days < 0:
            yield Finding("certificates", "bad", f"{path} is over since {-days} days", _renewal(path))
        elif days < CERTIFICATE_DAYS_WARNING:
            yield Finding("certificates", "warning", f"{path} is over in {days} days", _renewal(path))
        else:
            yield Finding("certificates", "ok", f"{path.name} is valid for {days} days")


def _renewal(path: Path) -> str:
    if path.stem in ("ca", "peer-ca"):
        return "make new authorities with `kmini pki init` in a new folder and move every replica to it"
    return "a server renews what it signs itself, at its start and while it runs: its log says why it did not"


def check_journal(layout: Layout) -> Iterator[Finding]:
    """What a replica that does not run would find when it started."""
    if layout.running() is not None or not layout.raft.is_dir():
        return
    from raftstore.disk import RealDisk
    from raftstore.errors import StoreError
    from raftstore.raft.journal_report import scan

    try:
        report = scan(RealDisk(layout.raft))
    except (StoreError, OSError) as error:
        yield Finding("journal", "bad", str(error), "restore a backup, or let the replica join anew")
        return
    if report is None:
        return
    says = f"entries {report.base_index} to {report.last_index}"
    damage = report.damage or report.noted_damage
    if damage is not None:
        do = "in a cluster start it, it mends itself from the leader; alone see kmini recover"
        where = f"damaged: {damage.file} at offset {damage.offset}: {damage.reason}"
        yield Finding("journal", "bad", f"{says}, {where}", do)
    else:
        yield Finding("journal", "ok", says)


def check_cluster(layout: Layout) -> Iterator[Finding]:
    running = layout.running()
    if running is None:
        yield Finding("server", "bad", f"no server runs in {layout.data_dir}", "start it: kmini up, or kmini server")
        return
    try:
        facts = look(layout, running)
    except CommandError as error:
        yield Finding("server", "bad", str(error), f"read its log (kmini up writes {layout.server_log})")
        return
    yield Finding("server", "ok", f"{running.name} runs as process {running.pid}")
    yield from judge_quorum(facts)
    yield from judge_lag(facts)


def judge_quorum(facts: ClusterFacts) -> Iterator[Finding]:
    voters = sum(not member.learner for member in facts.members)
    says = f"{facts.voters_reachable} of {voters} voters answer, {facts.quorum} are needed"
    if facts.voters_reachable < facts.quorum:
        do = "start the other replicas; if they are lost for good, kmini recover on the one with the newest data"
        yield Finding("quorum", "bad", says, do)
    elif facts.voters_reachable < voters:
        yield Finding("quorum", "warning", says, "start the missing replica, or remove and replace it")
    else:
        yield Finding("quorum", "ok", says)
    if not facts.leader:
        yield Finding("quorum", "bad", "no leader is known", "check that replicas reach each other's peer ports")
    for problem in facts.problems:
        yield Finding("quorum", "bad", problem, "see docs/runbook.md")


def judge_lag(facts: ClusterFacts) -> Iterator[Finding]:
    newest = max((member.applied_index for member in facts.members), default=0)
    for member in facts.members:
        if not member.reachable:
            yield Finding("lag", "warning", f"{member.name}: {member.problem}", "start it, or mend the network")
            continue
        behind = newest - member.applied_index
        if behind > LAG_ENTRIES_WARNING:
            do = "look at its disk and network: kmini doctor there"
            yield Finding("lag", "warning", f"{member.name} is {behind} entries behind", do)
        else:
            yield Finding("lag", "ok", f"{member.name} is {behind} entries behind")


CHECKS: tuple[Callable[[Layout], Iterator[Finding]], ...] = (
    check_space,
    check_fsync,
    check_clock,
    check_certificates,
    check_journal,
    check_cluster,
)
