"""Which rules of the machine are ours."""

from __future__ import annotations

from nodeagent.network.firewall import _is_ours


def test_whatever_others_write_into_their_rules_is_theirs() -> None:
    assert _is_ours("-A FORWARD -s 10.0.0.0/8 -m comment --comment kmini-n1 -j ACCEPT", "n1")
    assert not _is_ours('-A FORWARD -m comment --comment "not kmini-n1" -j ACCEPT', "n1")
    assert not _is_ours('-A FORWARD -m comment --comment "of two', "n1"), "the other line has the closing quote"
