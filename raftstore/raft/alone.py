"""The wire of a replica that has no peers and opens no port."""

from __future__ import annotations

from collections.abc import Sequence

from .engine import Member, Message, WireListener


class NoWire:
    """`Wire` to nobody."""

    def start(self, listener: WireListener) -> None:
        """Nobody will ever connect."""

    def set_members(self, members: Sequence[Member]) -> None:
        """Whoever else is listed cannot be reached: this replica was opened without a peer port."""

    def send(self, peer: int, message: Message) -> bool:
        return False

    def stop(self) -> None:
        """Nothing to close."""
