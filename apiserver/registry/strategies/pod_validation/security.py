"""Security contexts of pods and containers."""

from __future__ import annotations

import re

from apiserver.api.core.pod import PodSpec
from apiserver.api.core.security import (
    AppArmorProfile,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
)
from apiserver.api.fields import Causes
from apiserver.api.names import is_group_id, is_user_id

from .texts import descending, one_of_or_absent, required

PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
PROC_MOUNTS = ("Default", "Unmasked")
_SYSCTL_CHARACTERS_MAX = 253
_PATH_BYTES_MAX = 4_095
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_sysctl_re = re.compile(_SYSCTL)
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def _ids(user: int | None, group: int | None, causes: Causes, path: str) -> None:
    for problem in is_user_id(user) if user is not None else ():
        causes.invalid(f"{path}.runAsUser", user, problem)
    for problem in is_group_id(group) if group is not None else ():
        causes.invalid(f"{path}.runAsGroup", group, problem)


def _seccomp(profile: SeccompProfile | None, causes: Causes, path: str) -> None:
    if profile is None:
        return
    if not profile.type:
        causes.required(f"{path}.type", "type is required when seccompProfile is set")
    elif profile.type not in PROFILE_TYPES:
        causes.not_supported(f"{path}.type", profile.type, PROFILE_TYPES)
    if profile.type == "Localhost":
        if profile.localhost_profile is None:
            causes.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            descending(causes, f"{path}.localhostProfile", profile.localhost_profile)
    elif profile.localhost_profile is not None:
        rule = "can only be set when seccomp type is Localhost"
        causes.invalid(f"{path}.localhostProfile", profile.localhost_profile, rule)


def _app_armor(profile: AppArmorProfile | None, causes: Causes, path: str) -> None:
    if profile is None:
        return
    local = profile.localhost_profile
    if profile.type == "Localhost":
        if not local:
            causes.required(f"{path}.localhostProfile", "must be set when AppArmor type is Localhost")
        elif local != local.strip():
            causes.invalid(f"{path}.localhostProfile", local, "must not be padded with whitespace")
        elif len(local.encode()) > _PATH_BYTES_MAX:
            causes.too_long(f"{path}.localhostProfile", _PATH_BYTES_MAX)
    elif not profile.type:
        causes.required(f"{path}.type", "type is required when appArmorProfile is set")
    elif profile.type not in PROFILE_TYPES:
        causes.not_supported(f"{path}.type", profile.type, PROFILE_TYPES)
    elif local is not None:
        causes.invalid(f"{path}.localhostProfile", local, "can only be set when AppArmor type is Localhost")


def _escalation(context: SecurityContext, causes: Causes, path: str) -> None:
    if context.allow_privilege_escalation is not False:
        return
    if context.privileged:
        causes.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
    if context.capabilities and "CAP_SYS_ADMIN" in context.capabilities.add:
        rule = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
        causes.invalid(path, context, rule)


def validate_security_context(context: SecurityContext | None, causes: Causes, path: str, *, host_users: bool) -> None:
    """A container's; `host_users` is false for a pod in a user namespace of its own."""
    if context is None:
        return
    _ids(context.run_as_user, context.run_as_group, causes, path)
    one_of_or_absent(causes, f"{path}.procMount", context.proc_mount, PROC_MOUNTS)
    if host_users and context.proc_mount == "Unmasked":
        causes.invalid(f"{path}.procMount", context.proc_mount, "`hostUsers` must be false to use `Unmasked`")
    _seccomp(context.seccomp_profile, causes, f"{path}.seccompProfile")
    _escalation(context, causes, path)
    _app_armor(context.app_armor_profile, causes, f"{path}.appArmorProfile")


def _sysctls(spec: PodSpec, context: PodSecurityContext, causes: Causes, path: str) -> None:
    seen: set[str] = set()
    for index, each in enumerate(context.sysctls):
        here = f"{path}[{index}].name"
        if not required(causes, here, each.name):
            continue
        if len(each.name) > _SYSCTL_CHARACTERS_MAX or not _sysctl_re.fullmatch(each.name):
            rule = f"must have at most {_SYSCTL_CHARACTERS_MAX} characters and match regex ^{_SYSCTL}$"
            causes.invalid(here, each.name, rule)
        elif each.name in seen:
            causes.duplicate(here, each.name)
        seen.add(each.name)
        dotted = each.name.replace("/", ".")
        if spec.host_network and dotted.startswith("net."):
            causes.invalid(here, each.name, "may not be specified when 'hostNetwork' is true")
        elif spec.host_ipc and dotted.startswith(_IPC_SYSCTLS):
            causes.invalid(here, each.name, "may not be specified when 'hostIPC' is true")


def validate_pod_security_context(spec: PodSpec, causes: Causes, path: str) -> None:
    """`path` is the spec's."""
    context = spec.security_context
    here = f"{path}.securityContext"
    if spec.share_process_namespace and spec.host_pid:
        rule = "ShareProcessNamespace and HostPID cannot both be enabled"
        causes.invalid(f"{here}.shareProcessNamespace", True, rule)
    if context is None:
        return
    _ids(context.run_as_user, context.run_as_group, causes, here)
    for problem in is_group_id(context.fs_group) if context.fs_group is not None else ():
        causes.invalid(f"{here}.fsGroup", context.fs_group, problem)
    for index, group in enumerate(context.supplemental_groups):
        for problem in is_group_id(group):
            causes.invalid(f"{here}.supplementalGroups[{index}]", group, problem)
    _sysctls(spec, context, causes, f"{here}.sysctls")
    for name, value, allowed in (
        ("fsGroupChangePolicy", context.fs_group_change_policy, ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", context.supplemental_groups_policy, ("Merge", "Strict")),
        ("seLinuxChangePolicy", context.se_linux_change_policy, ("MountOption", "Recursive")),
    ):
        one_of_or_absent(causes, f"{here}.{name}", value, allowed)
    _seccomp(context.seccomp_profile, causes, f"{here}.seccompProfile")
    _app_armor(context.app_armor_profile, causes, f"{here}.appArmorProfile")
