"""Whether a damaged log can be mended, and what to tell people when it cannot."""

from __future__ import annotations

from ..errors import JournalDamaged
from .journal import Journal


def beyond_repair(journal: Journal, member_id: int) -> JournalDamaged | None:
    """Why no other replica can supply what this damaged journal lost; None for a sound one, or when one can.

    Ask it before anything else is opened: a state file may still hold what the journal lost.
    """
    damage = journal.damage
    _, configuration = journal.configuration()
    if damage is None or not configuration.voters <= {member_id}:
        return None
    where = f"{damage.file}: bad record at offset {damage.offset} ({damage.reason})"
    if not configuration.voters:
        return JournalDamaged(
            f"{where}; nothing before it is left, not even who the members are. If others hold the data, move the raft "
            "folder aside and start again: this replica joins under a new member id. If not, restore a snapshot"
        )
    return JournalDamaged(
        f"{where}; the last good entry is {damage.last_good_index}. No other replica can supply the rest: restore a "
        "snapshot, or accept the loss with `kmini recover --accept-data-loss`"
    )
