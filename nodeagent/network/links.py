"""What a node has of our own in its network besides packet rules: links, addresses, neighbours and routes; and how to
get from what is there to what is wanted. Pure.

Ours are the links named here with all that is on them, and routes that carry our protocol number, on whatever link.
Nothing else is ever looked at. What must hold: `changes` from what is there after the changes are none, and a route
that leads elsewhere from now on is replaced in one step, never away in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

#: Holds the addresses of Services that the node itself answers for. A bridge without ports: who can run pods has those,
#: which is more than can be said of dummy links.
SERVICES_LINK = "kmini-services"
TUNNEL_LINK = "kmini-vxlan"
#: The kernel's mark of who made a route; shown as a number by ip-route(8).
ROUTE_PROTOCOL = 107


class Link(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A bridge, or with `under` the end of a VXLAN tunnel: on that link, from `local`. One that is down is not `up`."""

    name: str
    under: str = ""
    local: str = ""
    mac: str = ""
    mtu: int = 0
    up: bool = True


class Address(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Of one of our links."""

    link: str
    address: str


class Neighbour(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Who has the address at the other end of the tunnel."""

    address: str
    mac: str


class Tunnel(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Packets for `mac` are packed and sent to the node `to`."""

    mac: str
    to: str


class Route(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """By `link`, one of ours; else by whichever link leads to `gateway`."""

    network: str
    gateway: str = ""
    link: str = ""
    source: str = ""


Item = Link | Address | Neighbour | Tunnel | Route
#: What stands on what: made in this order, removed the other way round.
_ORDER = (Link, Address, Neighbour, Tunnel, Route)


class Change(msgspec.Struct, frozen=True):
    """`replace`: it is there in another form; `put`: it is not there."""

    verb: Literal["put", "replace", "remove"]
    item: Item


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """`items`: all there shall be. While not all of it is known, nothing is removed."""

    items: Sequence[Item]
    removing: bool = True


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was changed, and what the kernel refused and why, in words for a log."""

    done: list[str] = []
    failed: list[str] = []


def changes(present: Iterable[Item], orders: Orders) -> list[Change]:
    """In the order in which they are to be made."""
    wanted = {_key(each): each for each in orders.items}
    there = {_key(each): each for each in present}
    anew = {item.name for key, item in there.items() if isinstance(item, Link) and wanted.get(key, item) != item}
    found = [Change("remove", there[key]) for key in sorted(there) if isinstance(there[key], Link) and key[1] in anew]
    there = {key: each for key, each in there.items() if _link_of(each) not in anew}
    for kind in _ORDER:
        for key, item in sorted(wanted.items()):
            if isinstance(item, kind) and there.get(key) != item:
                found.append(Change("replace" if key in there else "put", item))
    if orders.removing:
        for kind in reversed(_ORDER):
            gone = [item for key, item in sorted(there.items()) if isinstance(item, kind) and key not in wanted]
            found += [Change("remove", item) for item in gone]
    return found


def words(item: Item) -> str:
    match item:
        case Link():
            return f"link {item.name}"
        case Address():
            return f"address {item.address} of {item.link}"
        case Neighbour():
            return f"neighbour {item.address}"
        case Tunnel():
            return f"tunnel to {item.to}"
    way = f" via {item.gateway}" if item.gateway else ""
    return f"route {item.network}{way}{f' by {item.link}' if item.link else ''}"


def _key(item: Item) -> tuple[str, str]:
    """What there is only one of."""
    match item:
        case Link():
            return "link", item.name
        case Address():
            return "address", f"{item.link} {item.address}"
        case Neighbour():
            return "neighbour", item.address
        case Tunnel():
            return "tunnel", item.mac
    return "route", item.network


def _link_of(item: Item) -> str:
    """The link of ours with which it goes; "" for what is on others' links."""
    match item:
        case Link():
            return item.name
        case Address() | Route():
            return item.link
    return TUNNEL_LINK
