"""What the runtime is told of a pod's sandbox and containers: the parts of this package put together.

Everything is worked out anew for each container: what a ConfigMap, a Secret or the node's own files say may have
changed since the last one. Nothing is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from apiserver.api.base import ResourceList
from apiserver.api.cluster_network import ClusterNetwork
from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.errors import ApiError
from apiserver.api.quantity import value
from apiserver.client import Informer
from nodeagent.house import WARNING, EventSink
from nodeagent.machine import Machine
from nodeagent.node import allocatable_of
from nodeagent.plain import plain_container, plain_sandbox
from nodeagent.runtime.interface import (
    ContainerConfig,
    Credentials,
    Dns,
    Image,
    LastWords,
    Mount,
    Namespaces,
    Sandbox,
    SandboxConfig,
)

from .environment import Environment, References
from .expansion import expand_all
from .failures import SOON_S, config_error
from .fields import Place
from .hosts import hosts_text, hosts_text_of_node
from .names import domain_of, kernel_name, short_name
from .registry_logins import Place as RegistryPlace
from .registry_logins import credentials_for, places_of
from .resolv import parse_resolv_conf, resolution_of
from .resources import container_resources, pod_resources
from .security import container_security, sandbox_security
from .service_links import MASTER_NAMESPACE, service_variables
from .sysctls import sysctls_of
from .unsupported import check_sandbox

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 1 << 20
_FROM_LOG_TOO = "FallbackToLogsOnError"
#: systemd's resolver listens for the node alone; what it asks is there.
_RESOLV_CONF, _RESOLV_CONF_OF_SYSTEMD = Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")
_HOSTS = Path("/etc/hosts")
_APP_ARMOR = Path("/sys/module/apparmor/parameters/enabled")


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What of its node a container may depend on. `profiles`: where seccomp profiles are; `oom_group`: whether the
    kernel can end a container as a whole when it runs out of memory."""

    host_ips: Sequence[str]
    allocatable: ResourceList
    memory_capacity: int
    profiles: Path
    app_armor: bool
    oom_group: bool


def facts_of(machine: Machine, *, folder: Path, oom_group: bool) -> NodeFacts:
    """`folder`: the agent's. Reads a file of the kernel's."""
    return NodeFacts(
        host_ips=machine.addresses,
        allocatable=allocatable_of(machine),
        memory_capacity=value(machine.capacity.get("memory", "0")),
        profiles=folder / "seccomp",
        app_armor=read_text(_APP_ARMOR).startswith("Y"),
        oom_group=oom_group,
    )


class ContainerSpecs:
    """PodSpecs of a node with real containers. The informer is run by whoever made it."""

    def __init__(
        self,
        facts: NodeFacts,
        network: ClusterNetwork,
        references: References,
        services: Informer[Service],
        events: EventSink,
    ) -> None:
        self._facts = facts
        self._network = network
        self._references = references
        self._services = services
        self._events = events

    # --- sandboxes ----------------------------------------------------------------------------------------

    async def sandbox(self, pod: Pod, attempt: int) -> SandboxConfig:
        """Raises NotYet."""
        check_sandbox(pod)
        return msgspec.structs.replace(
            plain_sandbox(pod, attempt),
            hostname=kernel_name(pod, self._network.domain),
            dns=await self._dns(pod),
            sysctls=sysctls_of(pod),
            namespaces=namespaces_of(pod),
            security=sandbox_security(pod),
            resources=pod_resources(pod),
        )

    async def _dns(self, pod: Pod) -> Dns:
        found = resolution_of(pod, self._network, parse_resolv_conf(await asyncio.to_thread(_resolv_conf_of_node)))
        for words in found.left_out:
            self._events.event(pod, WARNING, "DNSConfigForming", words)
        return found.dns

    # --- containers ---------------------------------------------------------------------------------------

    async def container(
        self, pod: Pod, spec: ContainerSpec, *, attempt: int, image: Image, sandbox: Sandbox, mounts: Sequence[Mount]
    ) -> ContainerConfig:
        """Raises NotYet."""
        facts = self._facts
        variables = await self.variables(pod, spec, sandbox)
        resources = container_resources(pod, spec, memory_capacity=facts.memory_capacity)
        return msgspec.structs.replace(
            plain_container(pod, spec, attempt=attempt, image_id=image.id, mounts=mounts),
            command=expand_all(spec.command, variables),
            args=expand_all(spec.args, variables),
            environment=list(variables.items()),
            stdin_once=spec.stdin_once,
            hostname="" if pod.spec.host_network else kernel_name(pod, self._network.domain),
            hosts=await self._hosts(pod, sandbox),
            last_words=LastWords(
                path=spec.termination_message_path, from_log=spec.termination_message_policy == _FROM_LOG_TOO
            ),
            resources=msgspec.structs.replace(resources, oom_group=facts.oom_group),
            security=container_security(pod, spec, image, profiles=facts.profiles, app_armor=facts.app_armor),
            namespaces=namespaces_of(pod),
        )

    async def variables(self, pod: Pod, spec: ContainerSpec, sandbox: Sandbox) -> Mapping[str, str]:
        """Raises NotYet."""
        place = Place(
            host_ips=self._facts.host_ips, pod_ips=self._ips(pod, sandbox), allocatable=self._facts.allocatable
        )
        environment = Environment(pod, spec, place, self._references)
        found = await environment.variables(self._of_services(pod))
        for words in environment.skipped:
            self._events.event(pod, WARNING, "InvalidEnvironmentVariableNames", words, container=spec.name)
        return found

    def _ips(self, pod: Pod, sandbox: Sandbox) -> Sequence[str]:
        return self._facts.host_ips if pod.spec.host_network else sandbox.ips

    def _of_services(self, pod: Pod) -> dict[str, str]:
        """Raises NotYet: a container without them would be another one."""
        namespace = pod.metadata.namespace
        if not self._services.known.is_set():
            words = "services have not yet been read at least once, cannot construct envvars"
            raise config_error(words, again_s=SOON_S)
        own, masters = (self._services.cache.in_namespace(each) for each in (namespace, MASTER_NAMESPACE))
        linked = pod.spec.enable_service_links is not False
        found = [*own, *(masters if namespace != MASTER_NAMESPACE else ())]
        return service_variables(found, namespace, linked=linked)

    async def _hosts(self, pod: Pod, sandbox: Sandbox) -> str:
        aliases = pod.spec.host_aliases
        if pod.spec.host_network:
            return hosts_text_of_node(await asyncio.to_thread(read_text, _HOSTS), aliases)
        return hosts_text(sandbox.ips, short_name(pod), domain_of(pod, self._network.domain), aliases)

    # --- images -------------------------------------------------------------------------------------------

    async def credentials(self, pod: Pod, image: str) -> Sequence[Credentials]:
        """What is wrong with a secret is said; others may do, or nobody asks for one."""
        places: list[RegistryPlace] = []
        missing = []
        for reference in pod.spec.image_pull_secrets:
            try:
                places += await self._places(pod, reference.name)
            except ValueError as error:
                missing.append(reference.name)
                fields = {"namespace": pod.metadata.namespace, "secret": reference.name, "reason": str(error)}
                log.info("a pull secret is of no use", extra=fields)
        if missing:
            words = f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to pull the image"
            self._events.event(pod, WARNING, "FailedToRetrieveImagePullSecret", f"{words} may not succeed.")
        return credentials_for(image, places)

    async def _places(self, pod: Pod, name: str) -> list[RegistryPlace]:
        """Raises ValueError."""
        try:
            secret = await self._references.secret(pod.metadata.namespace, name)
        except ApiError as error:
            raise ValueError(error.message) from error
        if secret is None:
            raise ValueError("there is no such secret")
        return places_of(secret)


def namespaces_of(pod: Pod) -> Namespaces:
    spec = pod.spec
    return Namespaces(host_pid=spec.host_pid, host_ipc=spec.host_ipc, shared_pid=bool(spec.share_process_namespace))


def read_text(path: Path) -> str:
    """Of one of the node's files; "" when there is none. Blocking."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""


def _resolv_conf_of_node() -> str:
    text = read_text(_RESOLV_CONF)
    if list(parse_resolv_conf(text).servers) == ["127.0.0.53"]:
        return read_text(_RESOLV_CONF_OF_SYSTEMD) or text
    return text
