"""The messages of the Raft log between replicas and their shape; anything else is dropped and counted.

append         leader → follower   entries behind `previous`, and the commit index; a heartbeat when empty
contact        leader → follower   "I lead", to a follower whose log position is unknown
ack            follower → leader   `success`: holds everything up to `match`; else `reset`: send from `next`
vote           candidate → all     `transfer` says that the old leader ordered it
vote_given     voter → candidate
prevote, prevote_reply             would you vote for me? nothing is promised
read_ping, read_pong               do I still lead? (ReadIndex)
members        any → any           the committed configuration: whom a replica that was away may let in
timeout_now    leader → successor  begin a campaign at once
"""

from __future__ import annotations

import msgspec

from .engine import Entry, Member, Message

_FIELDS: dict[str, dict[str, type]] = {
    "append": {"term": int, "commit": int, "previous": int, "previous_term": int, "entries": list, "sequence": int},
    "contact": {"term": int, "sequence": int},
    "ack": {"term": int, "sequence": int, "success": bool, "reset": bool, "match": int, "next": int},
    "vote": {"term": int, "last_term": int, "last_index": int, "transfer": bool},
    "vote_given": {"term": int},
    "prevote": {"term": int, "round": int, "last_term": int, "last_index": int},
    "prevote_reply": {"term": int, "round": int, "granted": bool},
    "read_ping": {"term": int, "round": int},
    "read_pong": {"term": int, "round": int},
    "members": {"index": int, "members": list},
    "timeout_now": {"term": int},
}

MEMBERS_MAX = 64
#: Larger than any index or term that can be reached: 2**62 entries at a million a second take 146,000 years.
_NUMBER_MAX = 1 << 62


def well_formed(message: Message) -> bool:
    """Whether the message has a known type and exactly that type's fields with sane values."""
    fields = _FIELDS.get(message.get("type", ""))
    if fields is None or len(message) != len(fields) + 1:
        return False
    for name, kind in fields.items():
        value = message.get(name)
        if type(value) is not kind or (isinstance(value, int) and not 0 <= value <= _NUMBER_MAX):
            return False
    return True


def entries_of(message: Message) -> list[Entry] | None:
    """The entries of an append, None when one is not [bytes, int, int]."""
    entries = []
    for item in message["entries"]:
        if type(item) not in (list, tuple) or len(item) != 3:
            return None
        if type(item[0]) is not bytes or type(item[1]) is not int or type(item[2]) is not int:
            return None
        entries.append(Entry(item[0], item[1], item[2]))
    return entries


def members_of(message: Message) -> tuple[Member, ...] | None:
    """The members told of, None when they are none."""
    if len(message["members"]) > MEMBERS_MAX:
        return None
    try:
        return msgspec.convert(message["members"], tuple[Member, ...])
    except msgspec.ValidationError:
        return None


def acknowledgement(
    term: int, sequence: int, *, success: bool = False, reset: bool = False, match: int = 0, following: int = 0
) -> Message:
    return {
        "type": "ack",
        "term": term,
        "sequence": sequence,
        "success": success,
        "reset": reset,
        "match": match,
        "next": following,
    }
