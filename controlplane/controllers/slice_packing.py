"""How the endpoints of a Service are spread over slices: full enough, and with as little change as can be. Pure.

Every watcher of a slice gets the whole of it when one endpoint changes, so an endpoint stays in the slice where it is.
What is new fills slices that change anyway, then the fullest one that has room for all of it, then new ones. Slices are
never evened out for its own sake (as in Kubernetes' EndpointSlice controller).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from apiserver.api.discovery import Endpoint, EndpointPort, EndpointSlice

from .endpoint_pods import Port, in_order

ENDPOINTS_MAX = 100
_NAME_CHARACTERS_MAX = 253

Wanted = Mapping[tuple[Port, ...], Mapping[str, Endpoint]]


class Packed(msgspec.Struct):
    """A slice as it should be. `old` is the one that becomes it; None: it is made."""

    ports: tuple[Port, ...]
    endpoints: list[Endpoint]
    old: EndpointSlice | None = None
    changed: bool = False

    @property
    def room(self) -> int:
        return ENDPOINTS_MAX - len(self.endpoints)


class Plan(msgspec.Struct):
    kept: list[Packed] = []  # of old slices, changed or not
    made: list[Packed] = []
    removed: list[EndpointSlice] = []


def pack(wanted: Wanted, existing: Iterable[EndpointSlice], *, at_least_one: bool = True) -> Plan:
    """`wanted`: ports → identity of an endpoint → the endpoint. A slice of every old one that can be kept, is.

    `at_least_one`: if an empty one, which says that the Service is looked after.
    """
    plan = Plan()
    old = sorted(existing, key=lambda each: each.metadata.name)
    for ports, endpoints in sorted(wanted.items(), key=lambda item: str(item[0])):
        same_ports = [each for each in old if ports_in(each) == ports]
        _pack_ports(plan, ports, dict(endpoints), same_ports)
    plan.removed += [each for each in old if ports_in(each) not in wanted]
    while plan.made and plan.removed:  # to change one costs one write, not two
        packed = plan.made.pop(0)
        packed.old, packed.changed = plan.removed.pop(0), True
        plan.kept.append(packed)
    if at_least_one and not plan.kept and not plan.made:
        _keep_empty(plan)
    return plan


def _pack_ports(
    plan: Plan, ports: tuple[Port, ...], missing: dict[str, Endpoint], slices: Sequence[EndpointSlice]
) -> None:
    kept = []
    for each in slices:
        packed = _what_stays(each, ports, missing)
        if packed.endpoints:
            kept.append(packed)
        else:
            plan.removed.append(each)
    new = list(missing.values())
    for packed in kept:
        if packed.changed and new:
            _fill(packed, new)
    if new:
        rest = len(new) % ENDPOINTS_MAX
        roomy = [packed for packed in kept if rest and packed.room >= rest]
        if roomy:
            _fill(min(roomy, key=lambda packed: packed.room), new, number=rest)
        plan.made += [Packed(ports, new[start : start + ENDPOINTS_MAX]) for start in range(0, len(new), ENDPOINTS_MAX)]
    plan.kept += kept


def _what_stays(old: EndpointSlice, ports: tuple[Port, ...], missing: dict[str, Endpoint]) -> Packed:
    """Takes what it has out of `missing`."""
    packed = Packed(ports, [], old)
    for endpoint in old.endpoints:
        now = missing.pop(identity(endpoint), None)
        if now is not None and packed.room > 0:
            packed.endpoints.append(now)
            packed.changed |= now != endpoint
        else:
            packed.changed = True
            if now is not None:
                missing[identity(endpoint)] = now
    return packed


def _fill(packed: Packed, new: list[Endpoint], *, number: int = ENDPOINTS_MAX) -> None:
    number = min(number, packed.room)
    packed.endpoints += new[:number]
    packed.changed = packed.changed or number > 0
    del new[:number]


def _keep_empty(plan: Plan) -> None:
    if not plan.removed:
        plan.made.append(Packed((), []))
        return
    old = plan.removed.pop(0)
    plan.kept.append(Packed((), [], old, changed=bool(old.endpoints or old.ports)))


def identity(endpoint: Endpoint) -> str:
    """What it belongs to; of what belongs to nothing its address."""
    reference = endpoint.target_ref
    return reference.uid if reference is not None and reference.uid else ",".join(endpoint.addresses)


def ports_in(slice_: EndpointSlice) -> tuple[Port, ...]:
    return in_order(
        Port(each.name or "", each.protocol or "TCP", each.port or 0, each.app_protocol) for each in slice_.ports
    )


def slice_ports(ports: Iterable[Port]) -> list[EndpointPort]:
    return [
        EndpointPort(name=each.name, protocol=each.protocol, port=each.port, app_protocol=each.app_protocol)
        for each in ports
    ]


def names(service: str, uid: str, is_taken: Callable[[str], bool]) -> Iterator[str]:
    """Free names for slices of a Service, the same ones every time: who asks twice, for he knows nothing of his first
    slice yet, gets AlreadyExists and not a second slice."""
    number = 0
    while True:
        digest = hashlib.sha256(f"{uid}/{number}".encode()).hexdigest()[:10]
        name = f"{service[: _NAME_CHARACTERS_MAX - 11]}-{digest}"
        if not is_taken(name):
            yield name
        number += 1
