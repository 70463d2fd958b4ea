"""core/v1: as whom a container runs and what the kernel lets it do."""

from __future__ import annotations

from apiserver.api.base import Int64, Object, always


class Capabilities(Object):
    """Linux capabilities beyond or below the runtime's own set.

    add: Capabilities to give.
    drop: Capabilities to take away.
    """

    add: list[str] = []
    drop: list[str] = []


class SELinuxOptions(Object):
    """SELinux labels of a container.

    user: User label.
    role: Role label.
    type: Type label.
    level: Level label.
    """

    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class WindowsSecurityContextOptions(Object):
    """Settings for Windows containers.

    gmsa_credential_spec_name: Name of the GMSA credential spec.
    gmsa_credential_spec: Text of the GMSA credential spec.
    run_as_user_name: User the container runs as.
    host_process: True for a container that runs on the host itself.
    """

    gmsa_credential_spec_name: str | None = None
    gmsa_credential_spec: str | None = None
    run_as_user_name: str | None = None
    host_process: bool | None = None


class SeccompProfile(Object):
    """Which system calls are allowed.

    type: Localhost, RuntimeDefault or Unconfined.
    localhost_profile: Profile file on the node; with Localhost only.
    """

    type: str = always("")
    localhost_profile: str | None = None


class AppArmorProfile(Object):
    """Which AppArmor profile confines the container.

    type: Localhost, RuntimeDefault or Unconfined.
    localhost_profile: Profile loaded on the node; with Localhost only.
    """

    type: str = always("")
    localhost_profile: str | None = None


class SecurityContext(Object):
    """Security settings of one container; they win over the pod's.

    capabilities: Capabilities to add and drop.
    privileged: True for a container with the powers of root on the host.
    se_linux_options: SELinux labels.
    windows_options: Settings for Windows.
    run_as_user: UID of the first process.
    run_as_group: GID of the first process.
    run_as_non_root: True when the container must not start as UID 0.
    read_only_root_filesystem: True when the root file system cannot be written.
    allow_privilege_escalation: False when no process may gain more privileges than its parent.
    proc_mount: Default or Unmasked: how /proc is shown.
    seccomp_profile: Which system calls are allowed.
    app_armor_profile: Which AppArmor profile applies.
    """

    capabilities: Capabilities | None = None
    privileged: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    windows_options: WindowsSecurityContextOptions | None = None
    run_as_user: Int64 | None = None
    run_as_group: Int64 | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    proc_mount: str | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None


class Sysctl(Object):
    """A kernel parameter of the pod's namespaces.

    name: Name of the parameter.
    value: Value of the parameter.
    """

    name: str = always("")
    value: str = always("")


class PodSecurityContext(Object):
    """Security settings of a pod; containers inherit what they do not set.

    se_linux_options: SELinux labels.
    windows_options: Settings for Windows.
    run_as_user: UID of the first process of each container.
    run_as_group: GID of the first process of each container.
    run_as_non_root: True when no container may start as UID 0.
    supplemental_groups: More groups of the first process of each container.
    supplemental_groups_policy: Merge or Strict: whether groups of the image's user are added.
    fs_group: Group that owns the volumes which can be given one.
    sysctls: Kernel parameters to set.
    fs_group_change_policy: Always or OnRootMismatch: when files get the group.
    seccomp_profile: Which system calls are allowed.
    app_armor_profile: Which AppArmor profile applies.
    se_linux_change_policy: Recursive or MountOption: how volumes get the labels.
    """

    se_linux_options: SELinuxOptions | None = None
    windows_options: WindowsSecurityContextOptions | None = None
    run_as_user: Int64 | None = None
    run_as_group: Int64 | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: list[Int64] = []
    supplemental_groups_policy: str | None = None
    fs_group: Int64 | None = None
    sysctls: list[Sysctl] = []
    fs_group_change_policy: str | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    se_linux_change_policy: str | None = None
