"""Named places in the product's code where a test may make something go wrong.

`failpoint("before_apply")` costs one comparison when nothing is enabled. A test or the simulator enables
a name with an action: a callable that raises, records, or stops the replica. Every name is declared in
`NAMES`, with the moment it stands for, so that a test can demand that each is in the code and is hit.

Some lie on a lane's thread (journal, snapshot, state): an action runs there, and what it raises is the error of
the work it ran in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

NAMES: dict[str, str] = {
    "before_propose": "a batch is built and not yet given to the log",
    "after_propose": "the log took a batch, nothing is durable yet",
    "before_forward": "a follower is about to send a batch to the leader",
    "after_forward": "the batch is on its way; the leader may or may not get it",
    "before_apply": "entries are committed and durable, the state has not changed",
    "after_apply": "the state holds the entries, nobody was told",
    "before_watch_publish": "callers know their results, watchers do not know the events",
    "before_read_index": "readers are collected, the round has not begun",
    "before_lease_expiry": "the leader decided that leases are over, nothing is proposed",
    "before_compact_step": "a slice of physical compaction is about to run",
    "before_snapshot": "a snapshot is due, no file exists",
    "before_trim": "a snapshot is durable, the journal still holds what it covers",
    "before_install": "a snapshot arrived whole, the old state still stands",
    "after_install": "the new state stands, the log still begins where the old one did",
    "journal_before_segment": "a new segment is about to get its name",
    "journal_before_write": "records are about to be written, none of them is on disk",
    "journal_after_write": "the disk was given the records, nothing is synced",
    "journal_after_sync": "records are durable, the journal does not know it yet",
    "journal_before_removal": "a durable record says that old segments are over, their files still stand",
    "vote_durable": "a new term or vote is on disk, nobody was told",
    "snapshot_before_rename": "a snapshot's bytes are durable, under the name of one that is being made",
    "snapshot_before_manifest": "a snapshot has its name, nothing vouches for it",
    "snapshot_after_manifest": "a snapshot exists, nobody was told",
    "state_before_rename": "a rebuilt state is durable beside the old one, which has no marker any more",
    "state_after_rename": "a rebuilt state has taken the old one's place and has no marker yet",
    "backup_before_rename": "a backup is written and verified, under the name of an unfinished one",
    "before_quarantine": "this replica was told that its state differs, it still serves",
}

_actions: dict[str, Callable[[], None]] | None = None


def failpoint(name: str) -> None:
    """Do what a test asked for here; nothing at all in production."""
    actions = _actions  # once: another thread may switch them off in between
    if actions is not None:
        _hit(actions, name)


def _hit(actions: Mapping[str, Callable[[], None]], name: str) -> None:
    if name not in NAMES:
        raise LookupError(f"failpoint {name!r} is not declared in raftstore/failpoint.py")
    action = actions.get(name)
    if action is not None:
        action()


@contextmanager
def enabled(actions: Mapping[str, Callable[[], None]]) -> Iterator[None]:
    """Run the given actions at their names. Raises LookupError for a name that does not exist."""
    global _actions
    unknown = sorted(set(actions) - set(NAMES))
    if unknown:
        raise LookupError(f"no such failpoint: {', '.join(unknown)}")
    before = _actions
    _actions = {**(before or {}), **actions}
    try:
        yield
    finally:
        _actions = before
