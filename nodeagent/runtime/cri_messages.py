"""Between the interface's words and the CRI's messages: pure.

What the agent must find again after a restart is in labels, which can be asked for, and annotations. The labels are
the kubelet's, so that people's tools know them; one more says whose they are, since others may use the same containerd.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from .gen import cri_pb2 as pb
from .interface import (
    Container,
    ContainerConfig,
    ContainerPhase,
    Image,
    LastWords,
    Mount,
    Namespaces,
    PodKey,
    Resources,
    Sandbox,
    SandboxConfig,
    Security,
)

NODE = "kmini.local/node"
POD_NAME, POD_NAMESPACE, POD_UID = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
IMAGE = "kmini.local/image"
HOST_NETWORK = "kmini.local/host-network"
BOUNDS = "kmini.local/bounds"
_OURS = (HOST_NETWORK, BOUNDS)  # a pod that has such annotations says nothing by them
LAST_WORDS = "io.kubernetes.container.terminationMessagePath"
LAST_WORDS_POLICY = "io.kubernetes.container.terminationMessagePolicy"
FROM_FILE, FROM_LOG_TOO = "File", "FallbackToLogsOnError"
_NANOSECONDS = 1e9
_RUNTIME_DEFAULT, _UNCONFINED, _LOCALHOST = "RuntimeDefault", "Unconfined", "localhost/"
_PROPAGATION = {
    "HostToContainer": pb.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": pb.PROPAGATION_BIDIRECTIONAL,
}
_PHASES = {
    pb.CONTAINER_CREATED: ContainerPhase.CREATED,
    pb.CONTAINER_RUNNING: ContainerPhase.RUNNING,
    pb.CONTAINER_EXITED: ContainerPhase.EXITED,
    pb.CONTAINER_UNKNOWN: ContainerPhase.RUNNING,  # containerd could not tell: the kubelet takes it for running too
}


def pod_folder(logs: Path, pod: PodKey) -> Path:
    """Where the logs of a pod are, named as the kubelet names it."""
    return logs / f"{pod.namespace}_{pod.name}_{pod.uid}"


def cgroup_of(parent: str, pod: PodKey) -> str:
    return f"{parent}/pod{pod.uid}"


# --- what is asked for ------------------------------------------------------------------------------------


def labels_of(node: str, pod: PodKey, more: Mapping[str, str]) -> dict[str, str]:
    return {**more, NODE: node, POD_NAME: pod.name, POD_NAMESPACE: pod.namespace, POD_UID: pod.uid}


def sandbox_message(node: str, config: SandboxConfig, *, logs: Path, cgroup_parent: str) -> pb.PodSandboxConfig:
    pod = config.pod
    message = sandbox_reference(pod, config.attempt, logs=logs, cgroup_parent=cgroup_parent)
    message.hostname = "" if config.host_network else config.hostname
    message.labels.update(labels_of(node, pod, config.labels))
    message.annotations.update({key: text for key, text in config.annotations.items() if key not in _OURS})
    message.annotations[GRACE_PERIOD] = f"{config.grace_period_s:g}"
    if config.host_network:
        message.annotations[HOST_NETWORK] = "true"
    if config.resources != Resources():
        message.annotations[BOUNDS] = msgspec.json.encode(config.resources).decode()
    if config.dns is not None:
        dns = config.dns
        message.dns_config.MergeFrom(pb.DNSConfig(servers=dns.servers, searches=dns.searches, options=dns.options))
    for port in config.port_mappings:
        message.port_mappings.add(
            protocol=pb.Protocol.Value(port.protocol),
            container_port=port.container_port,
            host_port=port.host_port,
            host_ip=port.host_ip,
        )
    linux, security = message.linux, config.security
    linux.sysctls.update(config.sysctls)
    context = linux.security_context
    context.privileged = security.privileged
    context.namespace_options.MergeFrom(_namespaces(config.namespaces, host_network=config.host_network))
    context.readonly_rootfs = True  # the pause program writes nothing
    return message


def sandbox_reference(pod: PodKey, attempt: int, *, logs: Path, cgroup_parent: str) -> pb.PodSandboxConfig:
    """Which sandbox is meant."""
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name=pod.name, uid=pod.uid, namespace=pod.namespace, attempt=attempt),
        log_directory=str(pod_folder(logs, pod)),
        linux=pb.LinuxPodSandboxConfig(cgroup_parent=cgroup_of(cgroup_parent, pod)),
    )


def sandbox_of_container(
    sandbox: Sandbox, config: ContainerConfig, *, logs: Path, cgroup_parent: str
) -> pb.PodSandboxConfig:
    """What has to be said of a sandbox when a container is made in it: containerd does not look it up."""
    message = sandbox_reference(sandbox.pod, sandbox.attempt, logs=logs, cgroup_parent=cgroup_parent)
    message.hostname = config.hostname
    message.linux.security_context.privileged = config.security.privileged
    return message


def container_message(
    node: str, pod: PodKey, config: ContainerConfig, files: Sequence[Mount] = ()
) -> pb.ContainerConfig:
    """`files`: what the runtime itself mounts, unless the pod has something of its own there."""
    theirs = {each.container_path for each in config.mounts}
    message = pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=config.name, attempt=config.attempt),
        image=pb.ImageSpec(image=config.image_id or config.image),
        command=config.command,
        args=config.args,
        working_dir=config.working_dir,
        envs=[pb.KeyValue(key=name, value=value) for name, value in config.environment],
        mounts=[
            pb.Mount(
                container_path=each.container_path,
                host_path=each.host_path,
                readonly=each.read_only,
                propagation=_PROPAGATION.get(each.propagation, pb.PROPAGATION_PRIVATE),
            )
            for each in (*config.mounts, *(file for file in files if file.container_path not in theirs))
        ],
        labels=labels_of(node, pod, {CONTAINER_NAME: config.name}),
        annotations={IMAGE: config.image} | _last_words(config.last_words),
        log_path=f"{config.name}/{config.attempt}.log",
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        tty=config.tty,
    )
    message.linux.resources.MergeFrom(_resources(config.resources))
    context = message.linux.security_context
    context.MergeFrom(_security(config.security))
    context.namespace_options.MergeFrom(_namespaces(config.namespaces, host_network=False))
    return message


def _last_words(wanted: LastWords | None) -> dict[str, str]:
    if wanted is None:
        return {}
    return {LAST_WORDS: wanted.path, LAST_WORDS_POLICY: FROM_LOG_TOO if wanted.from_log else FROM_FILE}


def _resources(resources: Resources) -> pb.LinuxContainerResources:
    return pb.LinuxContainerResources(
        cpu_shares=resources.cpu_shares,
        cpu_period=resources.cpu_period_us,
        cpu_quota=resources.cpu_quota_us,
        memory_limit_in_bytes=resources.memory_limit,
        oom_score_adj=resources.oom_score_adj,
        unified={"memory.oom.group": "1"} if resources.oom_group else {},
    )


def _namespaces(namespaces: Namespaces, *, host_network: bool) -> pb.NamespaceOption:
    pid = pb.POD if namespaces.shared_pid else pb.CONTAINER
    if namespaces.host_pid:
        pid = pb.NODE
    if namespaces.target:
        pid = pb.TARGET
    return pb.NamespaceOption(
        network=pb.NODE if host_network else pb.POD,
        pid=pid,
        ipc=pb.NODE if namespaces.host_ipc else pb.POD,
        target_id=namespaces.target,
    )


def _security(security: Security) -> pb.LinuxContainerSecurityContext:
    message = pb.LinuxContainerSecurityContext(
        privileged=security.privileged,
        readonly_rootfs=security.read_only_root,
        supplemental_groups=security.groups,
        no_new_privs=security.no_new_privileges,
        capabilities=pb.Capability(
            add_capabilities=security.add_capabilities, drop_capabilities=security.drop_capabilities
        ),
        run_as_username=security.username,
        masked_paths=security.masked_paths,
        readonly_paths=security.read_only_paths,
    )
    if security.user is not None:
        message.run_as_user.value = security.user
    if security.group is not None:
        message.run_as_group.value = security.group
    if security.seccomp:
        message.seccomp.MergeFrom(_profile(security.seccomp))
    if security.app_armor:
        message.apparmor.MergeFrom(_profile(security.app_armor))
    return message


def _profile(text: str) -> pb.SecurityProfile:
    if text.startswith(_LOCALHOST):
        path = text.removeprefix(_LOCALHOST)
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.Localhost, localhost_ref=path)
    kinds = {_RUNTIME_DEFAULT: pb.SecurityProfile.RuntimeDefault, _UNCONFINED: pb.SecurityProfile.Unconfined}
    return pb.SecurityProfile(profile_type=kinds[text])


# --- what is answered -------------------------------------------------------------------------------------


def pod_of(labels: Mapping[str, str]) -> PodKey:
    return PodKey(namespace=labels.get(POD_NAMESPACE, ""), name=labels.get(POD_NAME, ""), uid=labels.get(POD_UID, ""))


def sandbox_of(found: pb.PodSandboxStatus) -> Sandbox:
    first, more = found.network.ip, [each.ip for each in found.network.additional_ips]
    return Sandbox(
        id=found.id,
        pod=pod_of(found.labels),
        attempt=found.metadata.attempt,
        ready=found.state == pb.SANDBOX_READY,
        created_at=found.created_at / _NANOSECONDS,
        ips=tuple(each for each in (first, *more) if each) if HOST_NETWORK not in found.annotations else (),
        grace_period_s=_grace_period_s(found.annotations),
    )


def _grace_period_s(annotations: Mapping[str, str]) -> float:
    try:
        return float(annotations[GRACE_PERIOD])
    except (KeyError, ValueError):
        return 30.0


def bounds_of(found: pb.PodSandboxStatus) -> Resources:
    """What the pod as a whole is to weigh and may use; nothing for one that was made before this was noted."""
    try:
        return msgspec.json.decode(found.annotations.get(BOUNDS, "{}"), type=Resources)
    except msgspec.DecodeError:  # a pod's own annotation, from the same time
        return Resources()


def last_words_of(found: pb.ContainerStatus) -> LastWords | None:
    path, policy = found.annotations.get(LAST_WORDS, ""), found.annotations.get(LAST_WORDS_POLICY, "")
    return LastWords(path=path, from_log=policy == FROM_LOG_TOO) if path or policy else None


def container_of(found: pb.ContainerStatus, sandbox_id: str) -> Container:
    return Container(
        id=found.id,
        sandbox_id=sandbox_id,
        pod=pod_of(found.labels),
        name=found.metadata.name,
        attempt=found.metadata.attempt,
        image=found.annotations.get(IMAGE, found.image.image),
        image_id=found.image_ref,
        phase=_PHASES[found.state],
        created_at=found.created_at / _NANOSECONDS,
        started_at=_started(found) / _NANOSECONDS,
        finished_at=found.finished_at / _NANOSECONDS,
        exit_code=found.exit_code,
        reason=found.reason,
        message=found.message,
    )


def _started(found: pb.ContainerStatus) -> int:
    """In nanoseconds, never after the end: containerd writes a start down once the call for it is back, and the end
    when its shim saw it, so one that ends at once has a start some tenths of a millisecond after its end.
    """
    return min(found.started_at, found.finished_at) if found.finished_at else found.started_at


def image_of(found: pb.Image) -> Image:
    return Image(
        id=found.id,
        names=(*found.repo_digests, *found.repo_tags),
        size_bytes=found.size,
        user=found.uid.value if found.HasField("uid") else None,
        username=found.username,
    )
