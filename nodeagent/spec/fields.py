"""What a pod may be told of itself: its fields, and the requests and limits of its containers (the downward API).

For variables and for files. Raises ValueError for what has no such name; the API server lets none through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from apiserver.api.base import ResourceList
from apiserver.api.core.containers import Container, ResourceFieldSelector
from apiserver.api.core.pod import Pod
from apiserver.api.quantity import milli_value, parse, value

_subscript_re = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")
_CPU = "cpu"
#: Of these a container without a limit may use what the node has.
_FROM_NODE = (_CPU, "memory", "ephemeral-storage")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pod runs. `pod_ips` is empty as long as it has no network."""

    host_ips: Sequence[str] = ()
    pod_ips: Sequence[str] = ()
    allocatable: ResourceList = {}


def field_value(pod: Pod, path: str, place: Place) -> str:
    """Labels or annotations as a whole are a line for each, as in a file."""
    meta, spec = pod.metadata, pod.spec
    subscripted = _subscript_re.fullmatch(path)
    if subscripted:
        found = meta.labels if subscripted[1] == "labels" else meta.annotations
        return found.get(subscripted[2], "")
    match path:
        case "metadata.name":
            return meta.name
        case "metadata.namespace":
            return meta.namespace
        case "metadata.uid":
            return meta.uid
        case "metadata.labels":
            return lines_of(meta.labels)
        case "metadata.annotations":
            return lines_of(meta.annotations)
        case "spec.nodeName":
            return spec.node_name
        case "spec.serviceAccountName":
            return spec.service_account_name
        case "status.hostIP" | "status.podIP":
            return next(iter(place.host_ips if path == "status.hostIP" else place.pod_ips), "")
        case "status.hostIPs" | "status.podIPs":
            return ",".join(place.host_ips if path == "status.hostIPs" else place.pod_ips)
    raise ValueError(f"unsupported fieldPath: {path}")


def lines_of(texts: Mapping[str, str]) -> str:
    """`name="value"`, sorted, with everything escaped that would break a line."""
    return "\n".join(f"{name}={_quoted(texts[name])}" for name in sorted(texts))


def _quoted(text: str) -> str:
    """As Go writes a string."""
    return '"' + "".join(_ESCAPES.get(each) or _written(each) for each in text) + '"'


_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def _written(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def resource_value(pod: Pod, container: Container, ref: ResourceFieldSelector, place: Place) -> str:
    """A whole number of the divisor, rounded up. Of `container` unless the reference names another."""
    meant = _named(pod, ref.container_name) if ref.container_name else container
    half, _, name = ref.resource.partition(".")
    if half not in ("limits", "requests") or not name:
        raise ValueError(f"unsupported container resource: {ref.resource}")
    amount = (meant.resources.limits if half == "limits" else meant.resources.requests).get(name, "0")
    if half == "limits" and name in _FROM_NODE and not parse(amount):
        amount = place.allocatable.get(name, "0")
    measure = milli_value if name == _CPU else value
    divisor = measure(ref.divisor) or measure("1")
    return str(-(-measure(amount) // divisor))


def _named(pod: Pod, name: str) -> Container:
    found = next((each for each in (*pod.spec.containers, *pod.spec.init_containers) if each.name == name), None)
    if found is None:
        raise ValueError(f"container {name} not found")
    return found
