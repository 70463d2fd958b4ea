"""Makes the node's links, addresses, neighbours and routes what they shall be: `python -m
nodeagent.network.kernel_links`, told on stdin. With `remove` as its argument it removes all that is ours, the bridge of
the pods and their ends of it too.

A child does this, because the netlink library it needs would cost the agent 20 MB for work that is seldom. It says on
stdout what it changed and what the kernel refused: one thing that is refused holds up nothing else.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from .cni import BRIDGE
from .links import (
    ROUTE_PROTOCOL,
    SERVICES_LINK,
    TUNNEL_LINK,
    Address,
    Change,
    Item,
    Link,
    Neighbour,
    Orders,
    Report,
    Route,
    Tunnel,
    changes,
    words,
)

VXLAN_ID = 27_501
VXLAN_PORT = 4789  # IANA's
_OURS = (SERVICES_LINK, TUNNEL_LINK)
_IPV4 = 2
_UP = 1
_MAIN_TABLE = 254
_ONLINK = 4
_PERMANENT, _NO_ARP, _SELF = 0x80, 0x40, 0x02
_GONE = (errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL)


class Links:
    """Of the network namespace that this process is in. Raises NetlinkError."""

    def __init__(self, netlink: Any) -> None:
        self._netlink = netlink

    # --- what is there ------------------------------------------------------------------------------------

    def present(self) -> Iterator[Item]:
        names = {each["index"]: dict(each["attrs"]) for each in self._netlink.get_links()}
        ours = {index: each["IFLA_IFNAME"] for index, each in names.items() if each["IFLA_IFNAME"] in _OURS}
        up = {each["index"] for each in self._netlink.get_links() if each["flags"] & _UP}
        for index in ours:
            yield _link_of(names[index], {key: each["IFLA_IFNAME"] for key, each in names.items()}, up=index in up)
        for each in self._netlink.get_addr(family=_IPV4):
            if each["index"] in ours:
                address = dict(each["attrs"])["IFA_LOCAL"]
                yield Address(link=ours[each["index"]], address=f"{address}/{each['prefixlen']}")
        for index in (key for key, name in ours.items() if name == TUNNEL_LINK):
            yield from self._beyond(index)
        for each in self._netlink.get_routes(family=_IPV4, table=_MAIN_TABLE, proto=ROUTE_PROTOCOL):
            yield _route_of(each, ours)

    def _beyond(self, tunnel: int) -> Iterator[Item]:
        for each in self._netlink.get_neighbours(family=_IPV4, ifindex=tunnel):
            attributes = dict(each["attrs"])
            if each["state"] & _PERMANENT and "NDA_LLADDR" in attributes:
                yield Neighbour(address=attributes["NDA_DST"], mac=attributes["NDA_LLADDR"])
        for each in self._netlink.fdb("dump", ifindex=tunnel):
            attributes = dict(each["attrs"])
            if each["ifindex"] == tunnel and "NDA_DST" in attributes:
                yield Tunnel(mac=attributes["NDA_LLADDR"], to=attributes["NDA_DST"])

    # --- changes ------------------------------------------------------------------------------------------

    def make(self, change: Change) -> None:
        item = change.item
        match item:
            case Link():
                self._link(change.verb, item)
            case Address():
                address, _, length = item.address.partition("/")
                index = self.index(item.link)
                self._netlink.addr(_verb(change), index=index, address=address, prefixlen=int(length))
            case Neighbour():
                verb = "del" if change.verb == "remove" else "replace"
                place = {"dst": item.address, "lladdr": item.mac, "ifindex": self.index(TUNNEL_LINK)}
                self._netlink.neigh(verb, **place, state=_PERMANENT)
            case Tunnel():
                verb = "del" if change.verb == "remove" else "replace"
                place = {"lladdr": item.mac, "dst": item.to, "ifindex": self.index(TUNNEL_LINK)}
                self._netlink.fdb(verb, **place, state=_PERMANENT | _NO_ARP, flags=_SELF)
            case Route():
                self._netlink.route(_verb(change), **self._route(item))

    def _link(self, verb: str, link: Link) -> None:
        if verb == "remove":
            self._netlink.link("del", index=self.index(link.name))
            return
        if not link.under:
            self._netlink.link("add", ifname=link.name, kind="bridge")
        else:
            self._netlink.link(
                "add",
                ifname=link.name,
                kind="vxlan",
                vxlan_id=VXLAN_ID,
                vxlan_port=VXLAN_PORT,
                vxlan_link=self.index(link.under),
                vxlan_local=link.local,
                vxlan_learning=False,
                address=link.mac,
                mtu=link.mtu,
            )
        self._netlink.link("set", index=self.index(link.name), state="up")

    def _route(self, route: Route) -> dict[str, Any]:
        found: dict[str, Any] = {"dst": route.network, "proto": ROUTE_PROTOCOL, "table": _MAIN_TABLE}
        if route.gateway:
            found["gateway"] = route.gateway
        if route.link:
            found["oif"] = self.index(route.link)
        if route.link and route.gateway:
            found["flags"] = _ONLINK
        if not route.gateway:
            found["scope"] = "link"
        if route.source:
            found["prefsrc"] = route.source
        return found

    def index(self, name: str) -> int:
        for index in self._netlink.link_lookup(ifname=name):
            return int(index)
        raise NetlinkError(errno.ENODEV, f"no link {name}")

    def remove_bridge(self) -> None:
        """Of the pods, with their ends of it: whatever is left, pods of nobody."""
        for bridge in self._netlink.link_lookup(ifname=BRIDGE):
            for port in self._netlink.link_lookup(master=bridge):
                self._netlink.link("del", index=port)
            self._netlink.link("del", index=bridge)


def _link_of(attributes: dict[str, Any], names: dict[int, str], *, up: bool) -> Link:
    name = attributes["IFLA_IFNAME"]
    info = dict(attributes["IFLA_LINKINFO"]["attrs"]) if "IFLA_LINKINFO" in attributes else {}
    if info.get("IFLA_INFO_KIND") != "vxlan":
        return Link(name=name, up=up and info.get("IFLA_INFO_KIND") == "bridge")
    tunnel = dict(info["IFLA_INFO_DATA"]["attrs"])
    same = (tunnel.get("IFLA_VXLAN_ID"), _port(tunnel.get("IFLA_VXLAN_PORT"))) == (VXLAN_ID, VXLAN_PORT)
    return Link(
        name=name,
        under=names.get(tunnel.get("IFLA_VXLAN_LINK", 0), ""),
        local=tunnel.get("IFLA_VXLAN_LOCAL", ""),
        mac=attributes["IFLA_ADDRESS"],
        mtu=attributes["IFLA_MTU"],
        up=up and same,
    )


def _port(raw: Any) -> int:
    """In the order of bytes that the network has, however it comes."""
    number = int(raw or 0)
    return number if number == VXLAN_PORT else int.from_bytes(number.to_bytes(2, "little"), "big")


def _route_of(route: Any, ours: dict[int, str]) -> Route:
    attributes = dict(route["attrs"])
    return Route(
        network=f"{attributes['RTA_DST']}/{route['dst_len']}",
        gateway=attributes.get("RTA_GATEWAY", ""),
        link=ours.get(attributes.get("RTA_OIF", 0), ""),
        source=attributes.get("RTA_PREFSRC", ""),
    )


def _verb(change: Change) -> str:
    return {"put": "add", "replace": "replace", "remove": "del"}[change.verb]


# --- the program ------------------------------------------------------------------------------------------


def arrange(netlink: Any, orders: Orders) -> Report:
    links, report = Links(netlink), Report()
    for change in changes(links.present(), orders):
        _try(report, f"{change.verb} {words(change.item)}", partial(links.make, change))
    return report


def remove_all(netlink: Any) -> Report:
    links = Links(netlink)
    report = arrange(netlink, Orders(items=()))
    _try(report, f"remove link {BRIDGE}", links.remove_bridge)
    return report


def _try(report: Report, what: str, work: Callable[[], None]) -> None:
    try:
        work()
        report.done.append(what)
    except NetlinkError as error:
        if error.code in _GONE and what.startswith("remove"):
            return
        report.failed.append(f"{what}: {_reason(error)}")


def _reason(error: NetlinkError) -> str:
    told = {
        errno.EEXIST: "somebody else made one already",
        errno.ENETUNREACH: "no link of this node leads there (--overlay vxlan goes through routers)",
        errno.EOPNOTSUPP: "this kernel cannot do that",
    }
    return told.get(error.code, os.strerror(error.code))


def main(arguments: list[str]) -> int:
    try:
        orders = None if arguments == ["remove"] else msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
        with IPRoute() as netlink:
            report = remove_all(netlink) if orders is None else arrange(netlink, orders)
        sys.stdout.write(msgspec.json.encode(report).decode())
    except Exception as error:  # one line for the agent's log
        sys.stderr.write(f"links of the node: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
