"""From what is there to what is wanted: in an order that works, without a moment's gap, and to the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.network.links import Address, Change, Item, Link, Neighbour, Orders, Route, Tunnel, changes

SERVICES = Link(name="kmini-services")
TUNNEL = Link(name="kmini-vxlan", under="eth0", local="192.0.2.1", mac="0a:6b:c0:00:02:01", mtu=1450)
BY_NODE = Route(network="10.244.2.0/24", gateway="192.0.2.2")
BY_TUNNEL = Route(network="10.244.2.0/24", gateway="10.244.2.0", link="kmini-vxlan")


class Kernel:
    """What a kernel does with changes, and refuses."""

    def __init__(self, items: list[Item]) -> None:
        self.items: dict[tuple[str, ...], Item] = {key(each): each for each in items}
        self.routes_after_each: list[set[str]] = []

    def make(self, change: Change) -> None:
        name, item = key(change.item), change.item
        if change.verb == "remove":
            assert self.items.pop(name) == item
            if isinstance(item, Link):
                self.items = {key: each for key, each in self.items.items() if link_of(each) != item.name}
        else:
            assert (name in self.items) == (change.verb == "replace"), change
            assert not isinstance(item, Link) or change.verb == "put"
            link = link_of(item)
            assert not link or isinstance(item, Link) or ("link", link) in self.items, f"{item} before its link"
            self.items[name] = item
        self.routes_after_each.append({each.network for each in self.items.values() if isinstance(each, Route)})


def key(item: Item) -> tuple[str, ...]:
    match item:
        case Link():
            return "link", item.name
        case Address():
            return "address", item.link, item.address
        case Neighbour():
            return "neighbour", item.address
        case Tunnel():
            return "tunnel", item.mac
    return "route", item.network


def link_of(item: Item) -> str:
    match item:
        case Link():
            return item.name
        case Address() | Route():
            return item.link
    return "kmini-vxlan"


def after(present: list[Item], wanted: list[Item], *, removing: bool = True) -> Kernel:
    kernel = Kernel(present)
    for change in changes(present, Orders(items=wanted, removing=removing)):
        kernel.make(change)
    return kernel


def test_a_way_that_changes_is_never_away() -> None:
    with_tunnel: list[Item] = [TUNNEL, BY_TUNNEL]
    for present, wanted in (([BY_NODE], with_tunnel), (with_tunnel, [BY_NODE])):
        kernel = after(list(present), list(wanted))
        assert set(kernel.items.values()) == set(wanted)
        assert all(routes == {"10.244.2.0/24"} for routes in kernel.routes_after_each)


def test_nothing_is_removed_while_not_all_is_known() -> None:
    kernel = after([SERVICES, BY_NODE], [SERVICES], removing=False)
    assert set(kernel.items.values()) == {SERVICES, BY_NODE}


@pytest.mark.parametrize(
    "wrong",
    [
        Link(name="kmini-vxlan", under="eth1", local="192.0.2.1", mac=TUNNEL.mac, mtu=1450),
        Link(name="kmini-vxlan", under="eth0", local="192.0.2.7", mac=TUNNEL.mac, mtu=1450),
        Link(name="kmini-vxlan", under="eth0", local="192.0.2.1", mac=TUNNEL.mac, mtu=1400),
        Link(name="kmini-vxlan", under="eth0", local="192.0.2.1", mac=TUNNEL.mac, mtu=1450, up=False),
    ],
)
def test_a_link_that_is_another_is_made_anew_with_all_on_it(wrong: Link) -> None:
    address = Address(link="kmini-vxlan", address="10.244.1.0/32")
    kernel = after([wrong, address, BY_TUNNEL], [TUNNEL, address, BY_TUNNEL])
    assert set(kernel.items.values()) == {TUNNEL, address, BY_TUNNEL}


_MACS = st.sampled_from(["0a:6b:c0:00:02:02", "0a:6b:c0:00:02:03"])
_NETWORKS = st.sampled_from(["10.244.2.0/24", "10.244.3.0/24"])
_LINKS = st.builds(
    lambda services, tunnel: [each for each in (services, tunnel) if each],
    st.sampled_from([None, SERVICES, Link(name="kmini-services", up=False)]),
    st.sampled_from([None, TUNNEL, Link(name="kmini-vxlan", under="eth1", mtu=1450)]),
)
_OTHERS = st.lists(
    st.one_of(
        st.builds(
            lambda link, address: Address(link=link, address=address),
            st.sampled_from(["kmini-services", "kmini-vxlan"]),
            st.sampled_from(["10.96.0.10/32", "10.96.0.11/32"]),
        ),
        st.builds(lambda address, mac: Neighbour(address=address, mac=mac), _NETWORKS, _MACS),
        st.builds(lambda mac, to: Tunnel(mac=mac, to=to), _MACS, st.sampled_from(["192.0.2.2", "192.0.2.3"])),
        st.builds(
            lambda network, gateway, link: Route(network=network, gateway=gateway, link=link),
            _NETWORKS,
            st.sampled_from(["192.0.2.2", "192.0.2.3"]),
            st.sampled_from(["", "kmini-services", "kmini-vxlan"]),
        ),
    ),
    max_size=6,
)


@st.composite
def states(draw: st.DrawFn) -> list[Item]:
    """What can be there: nothing on a link that is not."""
    links: list[Link] = draw(_LINKS)
    names = {each.name for each in links} | {""}
    found: dict[tuple[str, ...], Item] = {key(each): each for each in links}
    found |= {key(each): each for each in draw(_OTHERS) if link_of(each) in names}
    return list(found.values())


@given(states(), states())
def test_from_anything_to_anything(present: list[Item], wanted: list[Item]) -> None:
    kernel = after(present, wanted)
    assert set(kernel.items.values()) == set(wanted)
    assert changes(kernel.items.values(), Orders(items=wanted)) == [], "the second time nothing is left to do"


@given(states(), states())
def test_what_is_not_known_stays(present: list[Item], wanted: list[Item]) -> None:
    """But for what stood on a link that had to be made anew."""
    kernel = after(present, wanted, removing=False)
    assert set(wanted) <= set(kernel.items.values())
    remade = {each.name for each in wanted if isinstance(each, Link) and each not in present}
    kept = {key(each) for each in present if link_of(each) not in remade}
    assert kept <= set(kernel.items)
