"""Addresses of simulated pods: the lowest free one of a network, as host-local of CNI would give."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator


class NoAddress(Exception):
    """All addresses of the network are taken."""


class Addresses:
    """Of one network, without its own address, the gateway (the first) and the broadcast address."""

    def __init__(self, cidr: str) -> None:
        """Raises ValueError for what is no network."""
        self._network = ipaddress.ip_network(cidr)
        self._taken: set[int] = set()
        self._next = self._first

    @property
    def _first(self) -> int:
        return int(self._network.network_address) + 2

    @property
    def _last(self) -> int:
        return int(self._network.broadcast_address) - 1

    def take(self) -> str:
        """One that was not given back a moment ago, as long as there are others. Raises NoAddress."""
        for number in self._candidates():
            if number not in self._taken:
                self._taken.add(number)
                self._next = number + 1
                return str(ipaddress.ip_address(number))
        raise NoAddress(f"no IP addresses available in range set: {self._network}")

    def give_back(self, address: str) -> None:
        self._taken.discard(int(ipaddress.ip_address(address)))

    def _candidates(self) -> Iterator[int]:
        """Each once, from the one after the last that was taken; no further than needed."""
        yield from range(max(self._next, self._first), self._last + 1)
        yield from range(self._first, min(self._next, self._last + 1))
