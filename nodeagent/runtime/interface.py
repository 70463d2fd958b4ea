"""What the agent needs of a container runtime: the part of Kubernetes' CRI (runtime.v1) that it uses, in its words.

A sandbox is a pod's place (its network, its cgroup); containers live in one. The runtime remembers both, with the
names given here, and is the only memory of what runs: an agent that restarts reads everything back with `list_*`.

What must hold for every implementation:
- `stop_*` and `remove_*` of what is stopped or gone do nothing; they return once it is so.
- Every call may be cancelled; what it began is then seen by the next `list_*`.
- Calls raise RuntimeFailure: Unavailable when nobody answers (nothing is known of the call), NotThere for ids that the
  runtime does not know, ImageFailure from `pull_image`.
- `events` are hints and may be lost or come twice: who hears one looks again with `list_*`.

Moments are seconds since the epoch, by the runtime's wall clock.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from enum import Enum
from typing import Protocol

import msgspec


class RuntimeFailure(Exception):
    """Root: the call failed, and the message says why in the runtime's words. `reason` is Kubernetes' word for it,
    when it has one: shown as reason of a waiting container."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class Unavailable(RuntimeFailure):
    """The runtime does not answer."""


class NotThere(RuntimeFailure):
    """No sandbox, container or image of this id."""


class ImageFailure(RuntimeFailure):
    """An image cannot be had."""


class TookTooLong(RuntimeFailure):
    """It was to be done within a time, and was not."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """RuntimeReady and NetworkReady of the CRI; `message` says why not."""

    ready: bool
    network_ready: bool = True
    message: str = ""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    name: str  # as in containerd
    version: str


class PodKey(msgspec.Struct, frozen=True, kw_only=True):
    """Which pod something is of: two pods of one name differ by uid."""

    namespace: str
    name: str
    uid: str


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """`propagation`: HostToContainer, Bidirectional; mounts made later stay where they are made when empty or None."""

    host_path: str
    container_path: str
    read_only: bool = False
    propagation: str = ""


class PortMapping(msgspec.Struct, frozen=True, kw_only=True):
    protocol: str
    container_port: int
    host_port: int
    host_ip: str = ""


class Dns(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a pod's /etc/resolv.conf."""

    servers: Sequence[str] = ()
    searches: Sequence[str] = ()
    options: Sequence[str] = ()


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """For the container's control group; what is 0 is not set. Memory in bytes, times of the CPU in microseconds.

    `oom_group`: all its processes end when one runs out of memory; for groups of v2 only, v1 knows no such thing."""

    cpu_shares: int = 0
    cpu_period_us: int = 0
    cpu_quota_us: int = 0
    memory_limit: int = 0
    oom_score_adj: int = 0
    oom_group: bool = False


class Security(msgspec.Struct, frozen=True, kw_only=True):
    """What a container may do. A privileged one needs a sandbox that is privileged too.

    `seccomp`: RuntimeDefault, Unconfined, or `localhost/` and the path of a profile; the runtime chooses when empty.
    `app_armor`: likewise, with the name of a profile that is loaded. `user` or `username` (one of the image's), not
    both; a `group` goes with one of them.
    """

    privileged: bool = False
    user: int | None = None
    username: str = ""
    group: int | None = None
    groups: Sequence[int] = ()
    read_only_root: bool = False
    add_capabilities: Sequence[str] = ()
    drop_capabilities: Sequence[str] = ()
    no_new_privileges: bool = False
    seccomp: str = ""
    app_armor: str = ""
    masked_paths: Sequence[str] = ()
    read_only_paths: Sequence[str] = ()


class Namespaces(msgspec.Struct, frozen=True, kw_only=True):
    """Which namespaces are the node's, and whether the containers of a pod see each other's processes. `target`: the
    id of a container whose processes this one sees, whatever else is said."""

    host_pid: bool = False
    host_ipc: bool = False
    shared_pid: bool = False
    target: str = ""


class SandboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`attempt` differs for each sandbox of one pod. `grace_period_s`: what containers get to end when nobody is left
    to ask, kept for an agent that finds the pod after it is gone from the API. Without `dns` a pod has the node's.
    `resources`: what the pod as a whole weighs and may use; of these its shares, quota and memory."""

    pod: PodKey
    attempt: int = 0
    hostname: str = ""
    host_network: bool = False
    grace_period_s: float = 30.0
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    port_mappings: Sequence[PortMapping] = ()
    dns: Dns | None = None
    sysctls: Mapping[str, str] = {}
    namespaces: Namespaces = Namespaces()
    security: Security = Security()
    resources: Resources = Resources()


class LastWords(msgspec.Struct, frozen=True, kw_only=True):
    """`path`: where a container finds the file for them. `from_log`: the end of its log does for a failure without."""

    path: str
    from_log: bool = False


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """`ready` is False once it was stopped or died. `ips`: what it has, or had, as far as that is remembered; empty in
    the node's own network."""

    id: str
    pod: PodKey
    attempt: int
    ready: bool
    created_at: float
    ips: tuple[str, ...] = ()
    grace_period_s: float = 30.0


class ContainerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`attempt` counts the containers of this name in the pod. `runs_to_end`: init containers, which are to end by
    themselves; a runtime that only pretends to run needs to know. `hosts`: what its /etc/hosts says; the image's own
    when empty. `last_words`: what it leaves there is the message of its end. `hostname`: its pod's, for $HOSTNAME; the
    node's when empty."""

    name: str
    attempt: int
    image: str
    image_id: str = ""
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    working_dir: str = ""
    environment: Sequence[tuple[str, str]] = ()
    mounts: Sequence[Mount] = ()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    runs_to_end: bool = False
    hostname: str = ""
    hosts: str = ""
    last_words: LastWords | None = None
    resources: Resources = Resources()
    security: Security = Security()
    namespaces: Namespaces = Namespaces()

    def __repr__(self) -> str:
        """Without variables and arguments, which may be secrets: a repr ends in logs."""
        return f"ContainerConfig({self.name!r}, attempt={self.attempt}, image={self.image!r})"


class ContainerPhase(Enum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """`image` is the name it was asked for by. What tells of its end means something once it has exited."""

    id: str
    sandbox_id: str
    pod: PodKey
    name: str
    attempt: int
    image: str
    image_id: str
    phase: ContainerPhase
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""  # Completed, Error, OOMKilled, ContainerCannotRun, ...
    message: str = ""

    @property
    def running(self) -> bool:
        return self.phase is ContainerPhase.RUNNING

    @property
    def exited(self) -> bool:
        return self.phase is ContainerPhase.EXITED


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Of one container. `cpu_ns` counts from its start; `at` is the moment of that reading."""

    pod: PodKey
    container: str
    container_id: str
    at: float
    cpu_ns: int
    memory_working_set: int
    memory_rss: int


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """`user` or `username`: as whom it runs; neither is root."""

    id: str
    names: tuple[str, ...]
    size_bytes: int = 0
    user: int | None = None
    username: str = ""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """For a registry. Never shown."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"


class ExecResult(msgspec.Struct, frozen=True, kw_only=True):
    stdout: bytes
    stderr: bytes
    exit_code: int


class Event(msgspec.Struct, frozen=True):
    """Something changed with this pod; with "" for uid with any of them."""

    pod_uid: str


class Runtime(Protocol):
    async def version(self) -> Version: ...

    async def health(self) -> Health: ...

    async def update_pod_cidr(self, cidr: str) -> None:
        """Addresses of sandboxes come from here from now on. Those there are keep theirs."""

    # --- sandboxes

    async def run_sandbox(self, config: SandboxConfig) -> str:
        """Make it, with its network; its id."""

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Also kills what still runs in it, and gives its addresses back."""

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """With all its containers."""

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        """Raises NotThere."""

    async def list_sandboxes(self, *, pod_uid: str = "") -> Sequence[Sandbox]: ...

    # --- containers

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        """Its id. The image must be there."""

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, *, grace_period_s: float, signal: str = "") -> None:
        """Ask it to end, by this signal, else its image's, else SIGTERM; kill it when it has not ended in time."""

    async def remove_container(self, container_id: str) -> None: ...

    async def list_containers(self, *, pod_uid: str = "") -> Sequence[Container]: ...

    # --- images

    async def image(self, name: str, *, config: SandboxConfig | None = None) -> Image | None:
        """What is there. `config` of the pod that asks, as for a pull; most runtimes do not mind it."""

    async def pull_image(
        self, name: str, *, config: SandboxConfig | None = None, credentials: Credentials | None = None
    ) -> str:
        """The id of the image."""

    async def list_images(self) -> Sequence[Image]: ...

    async def remove_image(self, image_id: str) -> None: ...

    # --- what happens

    def events(self) -> AsyncGenerator[Event, None]:
        """From now on, until the runtime goes away (raises Unavailable)."""
