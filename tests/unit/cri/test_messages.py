"""The interface's words as the CRI's messages, and back: what an agent that starts anew must find again is in there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeagent.runtime import cri_messages
from nodeagent.runtime.gen import cri_pb2 as pb
from nodeagent.runtime.interface import (
    ContainerConfig,
    ContainerPhase,
    Dns,
    LastWords,
    Mount,
    Namespaces,
    PodKey,
    PortMapping,
    Resources,
    Sandbox,
    SandboxConfig,
    Security,
)

POD = PodKey(namespace="default", name="web", uid="u-1")
LOGS = Path("/logs")
PARENT = "/n1/kubepods"


def sandbox(config: SandboxConfig) -> pb.PodSandboxConfig:
    return cri_messages.sandbox_message("n1", config, logs=LOGS, cgroup_parent=PARENT)


def test_a_sandbox_is_found_again_by_its_labels() -> None:
    made = sandbox(SandboxConfig(pod=POD, attempt=2, labels={"app": "web", cri_messages.POD_UID: "forged"}))
    assert dict(made.labels) == {
        "app": "web",
        "io.kubernetes.pod.name": "web",
        "io.kubernetes.pod.namespace": "default",
        "io.kubernetes.pod.uid": "u-1",
        "kmini.local/node": "n1",
    }
    assert made.log_directory == "/logs/default_web_u-1"
    assert made.linux.cgroup_parent == "/n1/kubepods/podu-1"


def answered(made: pb.PodSandboxConfig, state: int = pb.SANDBOX_READY) -> pb.PodSandboxStatus:
    """As containerd would."""
    found = pb.PodSandboxStatus(id="s", metadata=made.metadata, labels=made.labels, annotations=made.annotations)
    found.state = state  # type: ignore[assignment]  # the enum's numbers
    found.created_at = 1_500_000_000
    found.network.ip = "10.0.0.2"
    found.network.additional_ips.add(ip="fd00::2")
    return found


def test_a_sandbox_comes_back_as_it_was_asked_for() -> None:
    found = cri_messages.sandbox_of(answered(sandbox(SandboxConfig(pod=POD, attempt=2, grace_period_s=7.5))))
    assert (found.pod, found.attempt, found.grace_period_s) == (POD, 2, 7.5)
    assert (found.ready, found.created_at, found.ips) == (True, 1.5, ("10.0.0.2", "fd00::2"))
    assert not cri_messages.sandbox_of(answered(sandbox(SandboxConfig(pod=POD)), pb.SANDBOX_NOTREADY)).ready


def test_the_nodes_own_network_has_no_address_and_no_hostname() -> None:
    made = sandbox(SandboxConfig(pod=POD, hostname="web", host_network=True))
    assert made.linux.security_context.namespace_options.network == pb.NODE
    assert made.hostname == ""
    assert cri_messages.sandbox_of(answered(made)).ips == ()


def test_no_annotation_of_a_pod_is_taken_for_ours() -> None:
    forged = {"kmini.local/host-network": "true", "io.kubernetes.pod.terminationGracePeriod": "9999", "theirs": "yes"}
    made = sandbox(SandboxConfig(pod=POD, annotations=forged, grace_period_s=5.0))
    assert dict(made.annotations) == {"io.kubernetes.pod.terminationGracePeriod": "5", "theirs": "yes"}
    assert cri_messages.sandbox_of(answered(made)).ips == ("10.0.0.2", "fd00::2")


def test_what_a_sandbox_is_asked_for() -> None:
    made = sandbox(
        SandboxConfig(
            pod=POD,
            hostname="web",
            dns=Dns(servers=["10.96.0.10"], searches=["svc"], options=["ndots:5"]),
            sysctls={"net.core.somaxconn": "100"},
            namespaces=Namespaces(host_ipc=True, shared_pid=True),
            security=Security(privileged=True),
            port_mappings=[PortMapping(protocol="UDP", container_port=53, host_port=5353, host_ip="127.0.0.1")],
        )
    )
    assert made.hostname == "web"
    assert (*made.dns_config.servers, *made.dns_config.searches, *made.dns_config.options) == (
        "10.96.0.10",
        "svc",
        "ndots:5",
    )
    assert dict(made.linux.sysctls) == {"net.core.somaxconn": "100"}
    context = made.linux.security_context
    assert context.privileged
    options = context.namespace_options
    assert (options.network, options.pid, options.ipc) == (pb.POD, pb.POD, pb.NODE)
    (port,) = made.port_mappings
    assert (port.protocol, port.container_port, port.host_port, port.host_ip) == (pb.UDP, 53, 5353, "127.0.0.1")


def test_what_a_container_is_asked_for() -> None:
    made = cri_messages.container_message(
        "n1",
        POD,
        ContainerConfig(
            name="main",
            attempt=3,
            image="registry.test/web:1",
            image_id="sha256:1",
            command=["a"],
            args=["b"],
            working_dir="/w",
            environment=[("K", "V")],
            mounts=[Mount(host_path="/h", container_path="/c", read_only=True)],
            stdin=True,
            tty=True,
            resources=Resources(cpu_shares=2, cpu_period_us=3, cpu_quota_us=4, memory_limit=5, oom_score_adj=6),
        ),
    )
    assert (made.metadata.name, made.metadata.attempt, made.image.image) == ("main", 3, "sha256:1")
    assert (list(made.command), list(made.args), made.working_dir) == (["a"], ["b"], "/w")
    assert [(each.key, each.value) for each in made.envs] == [("K", "V")]
    assert [(each.host_path, each.container_path, each.readonly) for each in made.mounts] == [("/h", "/c", True)]
    assert made.log_path == "main/3.log"
    assert made.labels["io.kubernetes.container.name"] == "main"
    limits = made.linux.resources
    assert (limits.cpu_shares, limits.cpu_period, limits.cpu_quota) == (2, 3, 4)
    assert (limits.memory_limit_in_bytes, limits.oom_score_adj) == (5, 6)
    assert made.linux.security_context.namespace_options.pid == pb.CONTAINER


def context(security: Security) -> pb.LinuxContainerSecurityContext:
    config = ContainerConfig(name="main", attempt=0, image="i", security=security)
    return cri_messages.container_message("n1", POD, config).linux.security_context


def test_what_a_container_may_do() -> None:
    made = context(
        Security(
            user=0,
            group=5,
            groups=[7],
            read_only_root=True,
            add_capabilities=["NET_ADMIN"],
            drop_capabilities=["ALL"],
            no_new_privileges=True,
        )
    )
    assert (made.run_as_user.value, made.run_as_group.value, list(made.supplemental_groups)) == (0, 5, [7])
    assert made.HasField("run_as_user"), "user 0 was asked for: it is not the image's"
    assert not context(Security()).HasField("run_as_user")
    assert (made.readonly_rootfs, made.no_new_privs) == (True, True)
    assert (list(made.capabilities.add_capabilities), list(made.capabilities.drop_capabilities)) == (
        ["NET_ADMIN"],
        ["ALL"],
    )


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("RuntimeDefault", pb.SecurityProfile.RuntimeDefault, ""),
        ("Unconfined", pb.SecurityProfile.Unconfined, ""),
        ("localhost//p/a.json", pb.SecurityProfile.Localhost, "/p/a.json"),
    ],
)
def test_seccomp(text: str, kind: object, path: str) -> None:
    made = context(Security(seccomp=text)).seccomp
    assert (made.profile_type, made.localhost_ref) == (kind, path)
    assert not context(Security()).HasField("seccomp")


def test_a_container_comes_back_with_the_name_its_image_was_asked_for_by() -> None:
    config = ContainerConfig(name="main", attempt=1, image="web", image_id="sha256:1")
    made = cri_messages.container_message("n1", POD, config)
    answer = pb.ContainerStatus(
        id="c",
        metadata=made.metadata,
        state=pb.CONTAINER_EXITED,
        created_at=1_000_000_000,
        started_at=2_000_000_000,
        finished_at=3_000_000_000,
        exit_code=137,
        reason="OOMKilled",
        image=pb.ImageSpec(image="docker.io/library/other:1"),
        image_ref="sha256:1",
        labels=made.labels,
        annotations=made.annotations,
    )
    found = cri_messages.container_of(answer, "s")
    assert (found.pod, found.name, found.attempt, found.sandbox_id) == (POD, "main", 1, "s")
    assert (found.image, found.image_id) == ("web", "sha256:1")
    assert (found.created_at, found.started_at, found.finished_at) == (1, 2, 3)
    assert (found.phase, found.exit_code, found.reason) == (ContainerPhase.EXITED, 137, "OOMKilled")


@pytest.mark.parametrize(
    ("started", "finished", "found"), [(2_000_000, 1_000_000, 0.001), (2_000_000, 0, 0.002), (0, 1_000_000, 0.0)]
)
def test_nothing_ends_before_it_began(started: int, finished: int, found: float) -> None:
    """containerd says so of what ends at once: it takes the two from different places."""
    answer = pb.ContainerStatus(state=pb.CONTAINER_EXITED, started_at=started, finished_at=finished)
    container = cri_messages.container_of(answer, "s")
    assert (container.started_at, container.finished_at) == (found, finished / 1e9)


# --- what the runtime adds --------------------------------------------------------------------------------


def made(config: ContainerConfig, *files: Mount) -> pb.ContainerConfig:
    return cri_messages.container_message("n1", POD, config, files)


def plain(**more: Any) -> ContainerConfig:
    return ContainerConfig(name="main", attempt=0, image="web", **more)


def test_its_own_files_give_way_to_the_pods() -> None:
    theirs = Mount(host_path="/volume", container_path="/etc/hosts", read_only=True)
    ours = [Mount(host_path="/a", container_path="/etc/hosts"), Mount(host_path="/b", container_path="/m")]
    message = made(plain(mounts=[theirs]), *ours)
    assert [(each.host_path, each.container_path) for each in message.mounts] == [
        ("/volume", "/etc/hosts"),
        ("/b", "/m"),
    ]


@pytest.mark.parametrize("wanted", [LastWords(path="/m"), LastWords(path="", from_log=True), None])
def test_who_reads_last_words_later_knows_where(wanted: LastWords | None) -> None:
    message = made(plain(last_words=wanted))
    assert cri_messages.last_words_of(pb.ContainerStatus(annotations=message.annotations)) == wanted


def test_containerd_is_told_of_the_sandbox_each_time() -> None:
    place = Sandbox(id="s", pod=POD, attempt=3, ready=True, created_at=0.0)
    config = plain(hostname="web", security=Security(privileged=True))
    message = cri_messages.sandbox_of_container(place, config, logs=LOGS, cgroup_parent=PARENT)
    assert (message.hostname, message.metadata.attempt) == ("web", 3)
    assert message.linux.security_context.privileged is True
    message = cri_messages.sandbox_of_container(place, plain(), logs=LOGS, cgroup_parent=PARENT)
    assert message.linux.security_context.privileged is False


def test_a_user_by_name_and_a_group() -> None:
    context = made(plain(security=Security(username="app", group=7))).linux.security_context
    assert (context.run_as_username, context.HasField("run_as_user"), context.run_as_group.value) == ("app", False, 7)


def test_what_is_masked_and_confined() -> None:
    security = Security(masked_paths=["/proc/kcore"], read_only_paths=["/proc/sys"], app_armor="localhost/ours")
    context = made(plain(security=security)).linux.security_context
    assert (list(context.masked_paths), list(context.readonly_paths)) == (["/proc/kcore"], ["/proc/sys"])
    assert (context.apparmor.profile_type, context.apparmor.localhost_ref) == (pb.SecurityProfile.Localhost, "ours")


def test_all_of_a_container_ends_together_where_the_kernel_can() -> None:
    assert dict(made(plain()).linux.resources.unified) == {}
    resources = made(plain(resources=Resources(oom_group=True))).linux.resources
    assert dict(resources.unified) == {"memory.oom.group": "1"}


def test_as_whom_an_image_runs() -> None:
    assert cri_messages.image_of(pb.Image(id="i")).user is None
    assert cri_messages.image_of(pb.Image(id="i", uid=pb.Int64Value(value=0))).user == 0
    found = cri_messages.image_of(pb.Image(id="i", username="app"))
    assert (found.user, found.username) == (None, "app")


def test_mounts_are_shared_as_the_container_says() -> None:
    wanted = ["", "None", "HostToContainer", "Bidirectional"]
    mounts = [Mount(host_path="/h", container_path=f"/{each}", propagation=each) for each in wanted]
    assert [each.propagation for each in made(plain(mounts=mounts)).mounts] == [
        pb.PROPAGATION_PRIVATE,
        pb.PROPAGATION_PRIVATE,
        pb.PROPAGATION_HOST_TO_CONTAINER,
        pb.PROPAGATION_BIDIRECTIONAL,
    ]
