"""From Services to the nftables rules of one node: one table, as JSON for `nft -j -f -`. Pure.

Packets are looked up by address, protocol and port in verdict maps: the cost does not grow with the number of Services.

    before NAT   `unserved` maps: nobody serves -> reject, or drop where a Local policy leaves out this node; `guards`:
                 source ranges of load balancers
    NAT          `addresses` (cluster, external) and `node-ports` -> cluster/..., local/... or external/... -> dnat at
                 random, or through endpoint/... where a client keeps to its pod
    after NAT    masquerade: what was marked (bit 0x4000), a pod that reaches itself, pods that leave the cluster

What must hold: rules change in one transaction, and clients keep to their pods over it: sets of clients (affinity/...)
are never emptied, only removed with their endpoint. Their names carry everything they are made of.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from typing import Any

import msgspec

from .backends import Backend, Frontend

Json = dict[str, Any]

FAMILY = "ip"
MARK = 0x4000
#: Clients that one endpoint may have; more than these keep to no pod.
CLIENTS_MAX = 65_535
AFFINITY = "affinity/"
_NAME_MAX = 200
_BEFORE_NAT, _NAT, _AFTER_NAT = -110, -100, 100
_BY_ADDRESS = ["ipv4_addr", "inet_proto", "inet_service"]
_BY_PORT = ["inet_proto", "inet_service"]
_MAPS = {
    "addresses": _BY_ADDRESS,
    "node-ports": _BY_PORT,
    "unserved": _BY_ADDRESS,
    "unserved-node-ports": _BY_PORT,
    "guards": _BY_ADDRESS,
}
_HAIRPINS = "hairpins"


class Ruleset(msgspec.Struct, frozen=True, kw_only=True):
    """`chains`: name → (hook or None, rules); `maps`: name → key → verdict; `affinities`: name → seconds."""

    table: str
    chains: dict[str, tuple[Json | None, list[list[Json]]]]
    maps: dict[str, dict[tuple[str | int, ...], Json]]
    hairpins: tuple[str, ...]
    affinities: dict[str, int]


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel has of the table: names, and how many rules."""

    chains: frozenset[str]
    affinities: frozenset[str]
    rules: int


def table_name(node: str) -> str:
    name = f"kmini-{node}"
    if len(name) > _NAME_MAX:
        name = f"kmini-{hashlib.sha256(node.encode()).hexdigest()}"
    return name


def ruleset(ports: Iterable[Frontend], *, node: str, cluster_cidr: str) -> Ruleset:
    """`cluster_cidr`: where all pods are. Raises ValueError when it is no IPv4 network."""
    return _Builder(table_name(node), str(ipaddress.IPv4Network(cluster_cidr))).build(list(ports))


def replacement(rules: Ruleset, present: Present | None) -> Json:
    """All in one transaction. Without `present` everything is made anew, and clients no longer keep to their pods."""
    fresh = present is None
    commands: list[Json] = [_add("table")]
    commands += [{"delete": _add("table")["add"]}, _add("table")] if fresh else [{"flush": _add("table")["add"]}]
    sets = [
        *({"map": {**_named(name), "type": key, "map": "verdict"}} for name, key in _MAPS.items()),
        {"set": {**_named(_HAIRPINS), "type": ["ipv4_addr", "ipv4_addr"]}},
    ]
    commands += [{"add": each} for each in sets]
    commands += [] if fresh else [{"flush": {kind: _named(each[kind]["name"])}} for each in sets for kind in each]
    commands += [
        {"add": {"set": _affinity_set(name, seconds)}}
        for name, seconds in rules.affinities.items()
        if present is None or name not in present.affinities
    ]
    commands += [{"add": {"chain": {**_named(name), **(hook or {})}}} for name, (hook, _) in rules.chains.items()]
    commands += [
        {"add": {"element": {**_named(name), "elem": [[_key(key), verdict] for key, verdict in entries.items()]}}}
        for name, entries in rules.maps.items()
        if entries
    ]
    if rules.hairpins:
        pairs = [_key((address, address)) for address in rules.hairpins]
        commands.append({"add": {"element": {**_named(_HAIRPINS), "elem": pairs}}})
    commands += [
        {"add": {"rule": {"family": FAMILY, "chain": name, "expr": rule}}}
        for name, (_, lines) in rules.chains.items()
        for rule in lines
    ]
    if present is not None:
        commands += [{"delete": {"chain": _named(name)}} for name in sorted(present.chains - rules.chains.keys())]
        commands += [{"delete": {"set": _named(name)}} for name in sorted(present.affinities - rules.affinities.keys())]
    return {"nftables": [_in_table(each, rules.table) for each in commands]}


def removal(table: str) -> Json:
    """No error where there is none."""
    return {"nftables": [_in_table(each, table) for each in (_add("table"), {"delete": _add("table")["add"]})]}


def present_of(listing: Json) -> Present:
    """From the answer to `nft -j -t list table`. Raises ValueError for what is no such thing."""
    try:
        objects = listing["nftables"]
        chains = frozenset(each["chain"]["name"] for each in objects if "chain" in each)
        sets = frozenset(each["set"]["name"] for each in objects if "set" in each)
        rules = sum("rule" in each for each in objects)
    except (KeyError, TypeError) as error:
        raise ValueError("nft's list of a table has another form than expected") from error
    affinities = frozenset(name for name in sets if name.startswith(AFFINITY))
    return Present(chains=chains, affinities=affinities, rules=rules)


def present_after(rules: Ruleset) -> Present:
    """What the kernel has once it took them."""
    count = sum(len(lines) for _, lines in rules.chains.values())
    return Present(chains=frozenset(rules.chains), affinities=frozenset(rules.affinities), rules=count)


class _Builder:
    def __init__(self, table: str, cluster_cidr: str) -> None:
        self._table = table
        self._pods = _prefix(cluster_cidr)
        self._chains: dict[str, tuple[Json | None, list[list[Json]]]] = {}
        self._maps: dict[str, dict[tuple[str | int, ...], Json]] = {name: {} for name in _MAPS}
        self._hairpins: set[str] = set()
        self._affinities: dict[str, int] = {}

    def build(self, ports: list[Frontend]) -> Ruleset:
        self._base()
        for port in ports:  # first: nobody's external address may take a cluster address away
            self._inside(port)
        for port in ports:
            self._outside(port)
        return Ruleset(
            table=self._table,
            chains=self._chains,
            maps=self._maps,
            hairpins=tuple(sorted(self._hairpins)),
            affinities=self._affinities,
        )

    def _base(self) -> None:
        add = self._chain
        new = _match(_ct("state"), "new", "in")
        add("refuse", [[{"reject": {"type": "icmp", "expr": "port-unreachable"}}]])
        add(
            "check",
            [[_by_address("guards")], [_by_address("unserved")], [*_to_node(), _by_port("unserved-node-ports")]],
        )
        add("serve", [[_by_address("addresses")], [*_to_node(), _by_port("node-ports")]])
        for hook in ("prerouting", "output"):
            add(f"check-{hook}", [[new, _jump("check")]], _hook("filter", hook, _BEFORE_NAT))
            add(f"serve-{hook}", [[_jump("serve")]], _hook("nat", hook, _NAT))
        add("postrouting", self._masquerade(), _hook("nat", "postrouting", _AFTER_NAT))

    def _masquerade(self) -> list[list[Json]]:
        marked = _match({"&": [_MARK_NOW, MARK]}, 0, "!=")
        unmark = {"mangle": {"key": _MARK_NOW, "value": {"^": [_MARK_NOW, MARK]}}}
        itself = _match({"concat": [_SOURCE, _DESTINATION]}, f"@{_HAIRPINS}")
        leaving = [
            _match(_SOURCE, self._pods),
            _match(_DESTINATION, self._pods, "!="),
            _match(_DESTINATION, _prefix("224.0.0.0/4"), "!="),
        ]
        hide = {"masquerade": {"flags": "fully-random"}}
        return [[marked, unmark, hide], [_match(_ct("status"), "dnat", "in"), itself, hide], [*leaving, hide]]

    def _inside(self, port: Frontend) -> None:
        key = (port.cluster_ip, port.protocol, port.port)
        if port.here if port.internal_local else port.everywhere:
            self._maps["addresses"].setdefault(key, _goto(self._pods_of(port, local=port.internal_local)))
        else:
            self._maps["unserved"].setdefault(key, _DROP if port.everywhere else _goto("refuse"))

    def _outside(self, port: Frontend) -> None:
        keys = [(address, port.protocol, port.port) for address in port.ways_in]
        taken = {*self._maps["addresses"], *self._maps["unserved"]}
        keys = [key for key in keys if key not in taken]
        if not keys and not port.node_port:
            return
        name, verdict = ("", _goto("external/" + port.key)) if port.everywhere else ("unserved", _goto("refuse"))
        if port.everywhere:
            self._external(port)
        for key in keys:
            self._maps[name or "addresses"][key] = verdict
        if port.node_port:
            self._maps["unserved-node-ports" if name else "node-ports"].setdefault(
                (port.protocol, port.node_port), verdict
            )
        guarded = [key for key in keys if port.source_ranges and key[0] in port.load_balancer_ips]
        if guarded:
            allowed: list[Any] = [_prefix(each) for each in port.source_ranges]
            for number, network in enumerate(allowed):  # one rule each: ranges may overlap, which a set may not
                self._chain(f"guard/{port.key}", [[_match(_SOURCE, network), {"return": None}]], more=number > 0)
            self._chain(f"guard/{port.key}", [[_DROP]], more=True)
            self._maps["guards"].update((key, _jump(f"guard/{port.key}")) for key in guarded)

    def _external(self, port: Frontend) -> None:
        """Who comes from outside is answered by the same way; a Local policy needs no mask, and shows who it is."""
        anywhere = _goto(self._pods_of(port, local=False))
        if not port.external_local:
            self._chain(f"external/{port.key}", [[_MARK_IT], [anywhere]])
            return
        from_node = _match({"fib": {"result": "type", "flags": ["saddr"]}}, "local")
        rules = [[_match(_SOURCE, self._pods), anywhere], [from_node, _MARK_IT, anywhere]]
        rules.append([_goto(self._pods_of(port, local=True))] if port.here else [_DROP])
        self._chain(f"external/{port.key}", rules)

    def _pods_of(self, port: Frontend, *, local: bool) -> str:
        """The chain that leads to the pods: everywhere, or here."""
        name = f"{'local' if local else 'cluster'}/{port.key}"
        if name in self._chains:
            return name
        backends = port.here if local else port.everywhere
        rules: list[list[Json]] = []
        if not port.by_node:
            rules.append([_match(_SOURCE, self._pods, "!="), _match(_DESTINATION, port.cluster_ip), _MARK_IT])
            self._hairpins.update(backend.address for backend in port.here)
        if port.affinity_s and not port.by_node:
            rules += self._keeping(port, backends)
        else:
            rules.append([_match(_PROTOCOL, port.protocol), _dnat(backends)])
        self._chain(name, rules)
        return name

    def _keeping(self, port: Frontend, backends: tuple[Backend, ...]) -> list[list[Json]]:
        known, anew = [], []
        for number, backend in enumerate(backends):
            place = f"{port.key}/{backend.address}/{backend.port}"
            clients, chain = f"{AFFINITY}{place}/{port.affinity_s}", f"endpoint/{place}"
            self._affinities[clients] = port.affinity_s
            remember = {"set": {"op": "update", "elem": _SOURCE, "set": f"@{clients}"}}
            self._chain(chain, [[remember], [_match(_PROTOCOL, port.protocol), _dnat((backend,))]])
            known.append([_match(_SOURCE, f"@{clients}"), _goto(chain)])
            anew.append([number, _goto(chain)])
        return [*known, [{"vmap": {"key": _at_random(len(backends)), "data": {"set": anew}}}]]

    def _chain(self, name: str, rules: list[list[Json]], hook: Json | None = None, *, more: bool = False) -> None:
        if more:
            rules = [*self._chains[name][1], *rules]
        self._chains[name] = (hook, rules)


# --- words of nft's JSON (libnftables-json(5)) ------------------------------------------------------------------

_SOURCE: Json = {"payload": {"protocol": "ip", "field": "saddr"}}
_DESTINATION: Json = {"payload": {"protocol": "ip", "field": "daddr"}}
_PORT: Json = {"payload": {"protocol": "th", "field": "dport"}}
_PROTOCOL: Json = {"meta": {"key": "l4proto"}}
_MARK_NOW: Json = {"meta": {"key": "mark"}}
_MARK_IT: Json = {"mangle": {"key": _MARK_NOW, "value": {"|": [_MARK_NOW, MARK]}}}
_DROP: Json = {"drop": None}


def _add(kind: str) -> Json:
    return {"add": {kind: {"family": FAMILY}}}


def _named(name: str) -> Json:
    return {"family": FAMILY, "name": name}


def _in_table(command: Json, table: str) -> Json:
    """Every object names its table."""
    ((verb, what),) = command.items()
    ((kind, fields),) = what.items()
    return {verb: {kind: {**fields, ("name" if kind == "table" else "table"): table}}}


def _affinity_set(name: str, seconds: int) -> Json:
    return {
        **_named(name),
        "type": "ipv4_addr",
        "flags": ["timeout"],
        "size": CLIENTS_MAX,
        "timeout": seconds,
    }


def _hook(kind: str, hook: str, priority: int) -> Json:
    return {"type": kind, "hook": hook, "prio": priority, "policy": "accept"}


def _match(left: Json, right: Any, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _ct(key: str) -> Json:
    return {"ct": {"key": key}}


def _goto(chain: str) -> Json:
    return {"goto": {"target": chain}}


def _jump(chain: str) -> Json:
    return {"jump": {"target": chain}}


def _prefix(network: str) -> Json:
    address, _, length = network.partition("/")
    return {"prefix": {"addr": address, "len": int(length)}}


def _key(parts: tuple[str | int, ...]) -> Json:
    return {"concat": list(parts)}


def _by_address(name: str) -> Json:
    return {"vmap": {"key": {"concat": [_DESTINATION, _PROTOCOL, _PORT]}, "data": f"@{name}"}}


def _by_port(name: str) -> Json:
    return {"vmap": {"key": {"concat": [_PROTOCOL, _PORT]}, "data": f"@{name}"}}


def _to_node() -> list[Json]:
    local = _match({"fib": {"result": "type", "flags": ["daddr"]}}, "local")
    return [local, _match(_DESTINATION, _prefix("127.0.0.0/8"), "!=")]


def _at_random(count: int) -> Json:
    return {"numgen": {"mode": "random", "mod": count, "offset": 0}}


def _dnat(backends: tuple[Backend, ...]) -> Json:
    if len(backends) == 1:
        return {"dnat": {"addr": backends[0].address, "port": backends[0].port}}
    choice = [[number, {"concat": list(backend)}] for number, backend in enumerate(backends)]
    return {"dnat": {"family": FAMILY, "addr": {"map": {"key": _at_random(len(backends)), "data": {"set": choice}}}}}
