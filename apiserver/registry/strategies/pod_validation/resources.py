"""Requests, limits and the names of resources."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from apiserver.api.base import ResourceList
from apiserver.api.core.containers import ContainerResizePolicy, ResourceClaim, ResourceRequirements
from apiserver.api.fields import Causes
from apiserver.api.names import is_qualified_name
from apiserver.api.quantity import NANO, ZERO, Quantity, parse

from .texts import NOT_NEGATIVE

HUGE_PAGES = "hugepages-"
_STANDARD_OF_CONTAINERS = ("cpu", "memory", "ephemeral-storage")
_STANDARD = frozenset(
    (
        *_STANDARD_OF_CONTAINERS,
        "storage",
        "pods",
        "services",
        "secrets",
        "configmaps",
        "resourcequotas",
        "replicationcontrollers",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    )
)
_COUNTED = _STANDARD - {*_STANDARD_OF_CONTAINERS, "storage"}
_RESIZED = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")


def is_native(name: str) -> bool:
    """A resource Kubernetes itself knows: no prefix, or one of its own."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A resource of somebody else: `example.com/gpu`."""
    return not is_native(name) and not name.startswith("requests.") and not is_qualified_name(f"requests.{name}")


def may_be_overcommitted(name: str) -> bool:
    return is_native(name) and not name.startswith(HUGE_PAGES)


def validate_amount(name: str, amount: Quantity, causes: Causes, path: str) -> None:
    """Not negative, and whole where parts mean nothing."""
    if amount < ZERO:
        causes.invalid(path, str(amount), NOT_NEGATIVE)
    if amount.nano % NANO and (name in _COUNTED or is_extended(name)):
        causes.invalid(path, str(amount), "must be an integer")


def _container_resource(name: str, causes: Causes, path: str) -> None:
    if problems := is_qualified_name(name):
        for problem in problems:
            causes.invalid(path, name, problem)
    elif "/" not in name:
        if name not in _STANDARD_OF_CONTAINERS and not name.startswith(HUGE_PAGES):
            if name not in _STANDARD:
                causes.invalid(path, name, "must be a standard resource type or fully qualified")
            causes.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        causes.invalid(path, name, "doesn't follow extended resource name standard")


def _amounts(amounts: ResourceList, causes: Causes, path: str) -> dict[str, Quantity]:
    found = {}
    for name, given in amounts.items():
        here = f"{path}[{name}]"
        _container_resource(name, causes, here)
        found[name] = amount = parse(given)
        validate_amount(name, amount, causes, here)
        if name.startswith(HUGE_PAGES):
            _huge_pages(name, amount, causes, here)
    return found


def _huge_pages(name: str, amount: Quantity, causes: Causes, path: str) -> None:
    try:
        page = parse(name.removeprefix(HUGE_PAGES))
    except ValueError as error:
        causes.invalid(path, name, str(error))
        return
    if page <= ZERO:
        causes.invalid(path, name, "page size must be positive")
    elif amount.nano % page.nano:
        causes.invalid(path, name, f"{amount} is not positive integer multiple of {page}")


def _claims(claims: Sequence[ResourceClaim], known: Collection[str], causes: Causes, path: str) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        here = f"{path}[{index}]"
        shown = f"{claim.name}/{claim.request}" if claim.request else claim.name
        if not claim.name:
            causes.required(here)
        elif shown in seen or claim.name in seen:
            causes.duplicate(here, shown)
        elif claim.name not in known:
            causes.not_found(here, claim.name)
        seen.add(shown)


def validate_resources(
    resources: ResourceRequirements, causes: Causes, path: str, *, claims: Collection[str] = ()
) -> None:
    """`claims` are the names of the pod's resourceClaims."""
    _claims(resources.claims, claims, causes, f"{path}.claims")
    limits = _amounts(resources.limits, causes, f"{path}.limits")
    requests = _amounts(resources.requests, causes, f"{path}.requests")
    for name, request in requests.items():
        limit = limits.get(name)
        if limit is None:
            if not may_be_overcommitted(name):
                causes.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        elif request != limit and not may_be_overcommitted(name):
            causes.invalid(f"{path}.requests", str(request), f"must be equal to {name} limit of {limit}")
        elif request > limit:
            causes.invalid(f"{path}.requests", str(request), f"must be less than or equal to {name} limit of {limit}")
    names = limits.keys() | requests.keys()
    if any(name.startswith(HUGE_PAGES) for name in names) and not names & {"cpu", "memory"}:
        causes.forbidden(path, "HugePages require cpu or memory")


def validate_resize_policies(
    policies: Sequence[ContainerResizePolicy], restart_policy: str, causes: Causes, path: str
) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        if policy.resource_name in seen:
            causes.duplicate(f"{path}[{index}]", policy.resource_name)
        seen.add(policy.resource_name)
        for value, allowed in ((policy.resource_name, _RESIZED), (policy.restart_policy, _RESIZE_POLICIES)):
            if not value:
                causes.required(path)
            elif value not in allowed:
                causes.not_supported(path, value, allowed)
        if restart_policy == "Never" and policy.restart_policy != "NotRequired":
            rule = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            causes.invalid(path, policy.restart_policy, rule)
