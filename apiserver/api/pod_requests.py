"""What a pod asks of its node, as Kubernetes counts it.

The API server's record of each node and the scheduler's view of it are made with these very functions: what one lets
through fits the other. A container's part is its requests. Containers and sidecars run together, so theirs are added;
an init container runs beside the sidecars started before it, so the largest of those moments counts if it is larger.
What running the pod costs (overhead) comes on top. Whole numbers: cpu in thousandths, everything else in its own unit,
rounded up.
"""

from __future__ import annotations

from apiserver.api.core.containers import Container
from apiserver.api.core.pod import Pod
from apiserver.api.quantity import milli_value, value

CPU = "cpu"
MEMORY = "memory"
EPHEMERAL_STORAGE = "ephemeral-storage"
PODS = "pods"


def amount(resource: str, quantity: str | int | float) -> int:
    """ValueError when the quantity is none (`apiserver.api.quantity.parse`)."""
    return milli_value(quantity) if resource == CPU else value(quantity)


def requests_of(pod: Pod) -> dict[str, int]:
    """What a pod asks for by resource; `pods` is always 1."""
    total = container_requests_of(pod, least={})
    total[PODS] = 1
    return total


def container_requests_of(pod: Pod, *, least: dict[str, int]) -> dict[str, int]:
    """The same without `pods`; a container that does not say what it needs of a resource in `least` counts as that."""
    spec = pod.spec
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, _container(container, least))
    running: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.init_containers:
        asked = _container(container, least)
        if container.restart_policy == "Always":
            _add(running, asked)
            _add(total, asked)
            asked = {}
        step = dict(running)
        _add(step, asked)
        _raise_to(peak, step)
    _raise_to(total, peak)
    for name, quantity in spec.overhead.items():
        _add(total, {name: amount(name, quantity)})
    return total


def _container(container: Container, least: dict[str, int]) -> dict[str, int]:
    asked = {name: amount(name, quantity) for name, quantity in container.resources.requests.items()}
    return least | asked if least else asked


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number


def _raise_to(total: dict[str, int], least: dict[str, int]) -> None:
    for name, number in least.items():
        total[name] = max(total.get(name, 0), number)
