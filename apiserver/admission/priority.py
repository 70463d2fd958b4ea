"""A pod's priority comes from its PriorityClass alone, and one class at most is the default.

Kubernetes' Priority plug-in. The number is copied into the pod when it is made; a class that changes or goes changes
no pod.
"""

from __future__ import annotations

from typing import Any

from apiserver.api.scheduling import PriorityClass
from apiserver.registry.strategies.classes import SYSTEM_PRIORITIES

from .plugin import Admission, Base, Lookup, find, forbidden
from .pods import PODS

CLASSES = "scheduling.k8s.io/priorityclasses"
DEFAULT_PRIORITY = 0
DEFAULT_PREEMPTION = "PreemptLowerPriority"


class Priority(Base):
    name = "Priority"

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        if request.resource.key != PODS or request.subresource or request.obj is None:
            return
        if request.operation == "CREATE":
            await self._admit_pod(request, lookup)
        elif request.operation == "UPDATE" and request.old is not None:
            new, old = request.obj.spec, request.old.spec
            new.priority = old.priority if new.priority is None else new.priority
            new.preemption_policy = new.preemption_policy or old.preemption_policy

    async def check(self, request: Admission, lookup: Lookup) -> None:
        if request.resource.key != CLASSES or request.obj is None or not request.obj.global_default:
            return
        default = await _default_class(lookup)
        if default is not None and default.metadata.name != request.name:
            raise forbidden(
                request,
                f"PriorityClass {default.metadata.name} is already marked as default. Only one default can exist",
            )

    async def _admit_pod(self, request: Admission, lookup: Lookup) -> None:
        spec: Any = request.obj.spec if request.obj is not None else None
        if spec.priority_class_name:
            found = await _class_named(lookup, spec.priority_class_name)
            if found is None:
                raise forbidden(request, f"no PriorityClass with name {spec.priority_class_name} was found")
        else:
            found = await _default_class(lookup)
            spec.priority_class_name = found.metadata.name if found is not None else ""
        value = found.value if found is not None else DEFAULT_PRIORITY
        policy = (found.preemption_policy if found is not None else None) or DEFAULT_PREEMPTION
        if spec.priority not in (None, value):
            raise forbidden(
                request,
                f"the integer value of priority ({spec.priority}) must not be provided in pod spec; priority admission "
                f"controller computed {value} from the given PriorityClass name",
            )
        if spec.preemption_policy not in (None, policy):
            raise forbidden(
                request,
                f"the string value of PreemptionPolicy ({spec.preemption_policy}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec.priority, spec.preemption_policy = value, policy


async def _class_named(lookup: Lookup, name: str) -> PriorityClass | None:
    """The two of the system are always there, whether somebody made an object for them or not."""
    if name in SYSTEM_PRIORITIES:
        system = PriorityClass(value=SYSTEM_PRIORITIES[name], preemption_policy=DEFAULT_PREEMPTION)
        system.metadata.name = name
        return system
    return await find(lookup, CLASSES, "", name)


async def _default_class(lookup: Lookup) -> PriorityClass | None:
    """The least one, should there be several."""
    defaults = [each for each in await lookup.list(CLASSES) if each.global_default]
    return min(defaults, key=lambda each: (each.value, each.metadata.name), default=None)
