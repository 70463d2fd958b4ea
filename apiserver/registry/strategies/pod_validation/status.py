"""What may be said of a pod through its status, and what may not be taken back."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence

from apiserver.api.core.pod import ContainerStatus, HostIP, Pod, PodIP
from apiserver.api.fields import Causes
from apiserver.api.names import is_dns_subdomain, is_group_id, is_ip, is_qualified_name, is_user_id
from apiserver.api.validation import check, validate_immutable

from .annotations import validate_annotation_changes

PHASES = ("Failed", "Pending", "Running", "Succeeded", "Unknown")
_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_ONE_PER_FAMILY = "may specify no more than one IP for each IP family"


def _addresses(addresses: Sequence[PodIP | HostIP], causes: Causes, path: str) -> None:
    families = set()
    seen: set[str] = set()
    for index, each in enumerate(addresses):
        check(is_ip, each.ip, causes, f"{path}[{index}]")
        if each.ip in seen:
            causes.duplicate(f"{path}[{index}]", each.ip)
        seen.add(each.ip)
        if not is_ip(each.ip):
            families.add(ipaddress.ip_address(each.ip).version)
    if len(addresses) > 1 and len(families) != len(addresses):
        causes.invalid(path, [each.ip for each in addresses], _ONE_PER_FAMILY)


def _ended_stay_ended(
    new: Sequence[ContainerStatus],
    old: Sequence[ContainerStatus],
    causes: Causes,
    path: str,
    *,
    restart_policy: str,
    restarted: Collection[str] = (),
) -> None:
    """`restarted`: containers that start again whatever the pod's policy is (sidecars)."""
    if restart_policy == "Always":
        return
    running = {status.name for status in new if status.state.terminated is None}
    for index, status in enumerate(old):
        ended = status.state.terminated
        if ended is None or status.name in restarted or (ended.exit_code and restart_policy == "OnFailure"):
            continue
        if status.name in running:
            causes.forbidden(f"{path}[{index}].state", "may not be transitioned to non-terminated state")


def _users(statuses: Sequence[ContainerStatus], causes: Causes, path: str) -> None:
    for index, status in enumerate(statuses):
        linux = status.user.linux if status.user else None
        if linux is None:
            continue
        here = f"{path}[{index}].linux"
        for problem in is_user_id(linux.uid):
            causes.invalid(f"{here}.uid", linux.uid, problem)
        for name, group in [("gid", linux.gid)] + [
            (f"supplementalGroups[{number}]", each) for number, each in enumerate(linux.supplemental_groups)
        ]:
            for problem in is_group_id(group):
                causes.invalid(f"{here}.{name}", group, problem)


def validate_pod_status(pod: Pod, old: Pod, causes: Causes) -> None:
    """A write through the status subresource."""
    new = pod.status
    validate_annotation_changes(pod.metadata.annotations, old.metadata.annotations, causes, "metadata.annotations")
    for index, condition in enumerate(new.conditions):
        if condition.type not in _SYSTEM_CONDITIONS:
            check(is_qualified_name, condition.type, causes, f"status.conditions[{index}].type")
    if new.phase and new.phase not in PHASES:
        causes.not_supported("status.phase", new.phase, PHASES)
    if new.nominated_node_name and new.nominated_node_name != old.status.nominated_node_name:
        check(is_dns_subdomain, new.nominated_node_name, causes, "status.nominatedNodeName")
    validate_immutable(new.qos_class, old.status.qos_class, causes, "status.qosClass")
    sidecars = {each.name for each in old.spec.init_containers if each.restart_policy == "Always"}
    policy = old.spec.restart_policy
    for name, now, before, rule, restarted in (
        ("containerStatuses", new.container_statuses, old.status.container_statuses, policy, ()),
        ("initContainerStatuses", new.init_container_statuses, old.status.init_container_statuses, policy, sidecars),
        (
            "ephemeralContainerStatuses",
            new.ephemeral_container_statuses,
            old.status.ephemeral_container_statuses,
            "Never",
            (),
        ),
    ):
        path = f"status.{name}"
        _ended_stay_ended(now, before, causes, path, restart_policy=rule, restarted=restarted)
        _users(now, causes, path)
    _addresses(new.pod_ips, causes, "status.podIPs")
    if new.host_ips and new.host_ip != new.host_ips[0].ip:
        causes.invalid("status.hostIPs[0].ip", new.host_ips[0].ip, "must be equal to `hostIP`")
    _addresses(new.host_ips, causes, "status.hostIPs")
