"""The controllers, one module or package each. `MODULES` is the table of all: what `--controllers` names.

Modules are loaded when a term begins: a replica that never leads need not have them in memory. `load` does that beside
the event loop, which Raft's heartbeats need meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from controlplane.runtime import Context, Part

#: Name → module with `parts(context)`.
MODULES = {
    "deployment": "controlplane.controllers.deployment",
    "replicaset": "controlplane.controllers.replicaset",
    "node-lifecycle": "controlplane.controllers.node_lifecycle",
    "node-ipam": "controlplane.controllers.node_ipam",
    "garbage-collector": "controlplane.controllers.garbage_collector",
    "pod-garbage-collector": "controlplane.controllers.pod_gc",
    "event-ttl": "controlplane.controllers.event_ttl",
    "lease-cleanup": "controlplane.controllers.lease_cleanup",
    "certificatesigningrequest-cleaner": "controlplane.controllers.csr_cleaning",
    "endpoints": "controlplane.controllers.endpoints",
    "endpointslice": "controlplane.controllers.endpoint_slices",
    "endpointslicemirroring": "controlplane.controllers.endpoint_slice_mirroring",
    "service-repair": "controlplane.controllers.service_repair",
    "namespace": "controlplane.controllers.namespace",
    "persistentvolume-binder": "controlplane.controllers.volume_binder",
    "persistentvolume-provisioner": "controlplane.controllers.provisioner",
    "persistentvolume-protection": "controlplane.controllers.volume_protection",
    "ephemeral-volume": "controlplane.controllers.ephemeral_claims",
    "scheduler": "controlplane.scheduler",
}


def makers(*, without: Iterable[str] = ()) -> dict[str, Callable[[Context], Sequence[Part]]]:
    """What a Manager runs. Raises ValueError naming a controller that does not exist."""
    left_out = set(without)
    unknown = left_out - MODULES.keys()
    if unknown:
        raise ValueError(f"there is no controller {min(unknown)!r}; there are: {', '.join(MODULES)}")
    return {name: _maker(module) for name, module in MODULES.items() if name not in left_out}


def load(names: Iterable[str]) -> None:
    """Blocking, some tenths of a second: for a thread."""
    for name in names:
        import_module(MODULES[name])


def _maker(module: str) -> Callable[[Context], Sequence[Part]]:
    def make(context: Context) -> Sequence[Part]:
        found: Sequence[Part] = import_module(module).parts(context)
        return found

    return make
