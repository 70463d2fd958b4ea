"""As whom a container runs and what it may do: its own security context over its pod's, as the kubelet merges them.

A profile of the node's is one of the agent's folder for them: no name and no link leads out of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from apiserver.api.core.containers import Container
from apiserver.api.core.pod import Pod
from apiserver.api.core.security import (
    AppArmorProfile,
    Capabilities,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
)
from nodeagent.runtime.interface import Image, Security

from .failures import config_error, creation_error
from .names import told

T = TypeVar("T")

UNCONFINED, RUNTIME_DEFAULT, LOCALHOST = "Unconfined", "RuntimeDefault", "Localhost"
_UNMASKED = "Unmasked"
#: What containers do not see, or cannot change, of the node's kernel: as docker, and everybody since.
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def container_security(pod: Pod, container: Container, image: Image, *, profiles: Path, app_armor: bool) -> Security:
    """`profiles`: where the node's seccomp profiles are. `app_armor`: whether the node has it. Raises NotYet."""
    own, shared = container.security_context or SecurityContext(), pod.spec.security_context or PodSecurityContext()
    user, group = _first(own.run_as_user, shared.run_as_user), _first(own.run_as_group, shared.run_as_group)
    if _first(own.run_as_non_root, shared.run_as_non_root):
        _check_not_root(pod, container, user, image)
    username = ""
    if user is None and group is not None:  # the runtime takes a group only with a user
        user, username = image.user, image.username
        user = 0 if user is None and not username else user
    capabilities = own.capabilities or Capabilities()
    masked = own.proc_mount != _UNMASKED
    return Security(
        privileged=bool(own.privileged),
        user=user,
        username=username,
        group=group,
        groups=_groups(shared),
        read_only_root=bool(own.read_only_root_filesystem),
        add_capabilities=capabilities.add,
        drop_capabilities=capabilities.drop,
        no_new_privileges=own.allow_privilege_escalation is False,
        seccomp=_seccomp(own.seccomp_profile or shared.seccomp_profile, profiles),
        app_armor=_app_armor(own.app_armor_profile or shared.app_armor_profile, app_armor),
        masked_paths=MASKED_PATHS if masked else (),
        read_only_paths=READ_ONLY_PATHS if masked else (),
    )


def sandbox_security(pod: Pod) -> Security:
    """A privileged container needs a sandbox that may have one."""
    return Security(privileged=any(_is_privileged(each) for each in (*pod.spec.containers, *pod.spec.init_containers)))


def _is_privileged(container: Container) -> bool:
    return bool(container.security_context and container.security_context.privileged)


def _first(own: T | None, shared: T | None) -> T | None:
    return own if own is not None else shared


def _groups(shared: PodSecurityContext) -> list[int]:
    """The group of the volumes is one of them, so that their files can be used."""
    more = [] if shared.fs_group is None else [shared.fs_group]
    return list(dict.fromkeys([*shared.supplemental_groups, *more]))


def _check_not_root(pod: Pod, container: Container, user: int | None, image: Image) -> None:
    """Raises NotYet."""
    who = f'(pod: "{told(pod)}", container: {container.name})'
    if user == 0:
        raise config_error(f"container's runAsUser breaks non-root policy {who}")
    if user is not None or image.user:
        return
    if image.username:
        words = f"container has runAsNonRoot and image has non-numeric user ({image.username}), cannot verify user is"
        raise config_error(f"{words} non-root {who}")
    raise config_error(f"container has runAsNonRoot and image will run as root {who}")


def _seccomp(profile: SeccompProfile | None, profiles: Path) -> str:
    """In the interface's words. Raises NotYet."""
    if profile is None:
        return UNCONFINED
    if profile.type != LOCALHOST:
        return profile.type
    name = profile.localhost_profile or ""
    path = profiles / name
    try:
        resolved = path.resolve(strict=True)
        inside = resolved.is_relative_to(profiles.resolve()) and resolved.is_file()
    except (OSError, ValueError):
        inside = False
    if not name or not inside:
        words = f"cannot load seccomp profile {name!r}: there is no such file in {profiles} on the node"
        raise creation_error(words)
    return f"localhost/{resolved}"


def _app_armor(profile: AppArmorProfile | None, there: bool) -> str:
    """Raises NotYet: who asks to be confined must not run otherwise."""
    if profile is None:
        return "" if there else UNCONFINED
    if profile.type != UNCONFINED and not there:
        words = "Cannot enforce AppArmor: AppArmor is not enabled on the host"
        raise creation_error(words)
    return f"localhost/{profile.localhost_profile or ''}" if profile.type == LOCALHOST else profile.type
