"""The agent inside a container, with the socket of its host's containerd: pods run beside it, with their volumes."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kmini
import msgspec
import pytest
from container_agent import asked, phase, server_of, soon
from container_host import Host
from kmini.agent_runtime import make_containerd, make_runtime
from kmini.images import SAMPLE, pause_archive, sample_archive
from kmini_process import Server

from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.imports import import_archive
from nodeagent.runtime.interface import ContainerConfig, Mount, Namespaces, PodKey, SandboxConfig, Security

PROJECT = Path(kmini.__file__).parents[2]
SYSTEM = tuple(Path(each) for each in ("/usr", "/bin", "/sbin", "/lib", "/lib64") if Path(each).exists())
PODS = "/api/v1/namespaces/default/pods"
AGENT = PodKey(namespace="kube-system", name="agent", uid="agent-in-a-container")
SHARED = "Bidirectional"  # what is mounted in the agent's container is there for the others too


@contextmanager
def shared(host: Host) -> Iterator[None]:
    """Its folder is a mount of its own that others are told of. Nothing of the host runs afterwards."""
    folder = host.folder
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(folder)], check=True)
        yield
    finally:
        host.tear_down()
        subprocess.run(["umount", "--recursive", "--lazy", str(folder)], check=True)


def mounts(host: Host) -> list[Mount]:
    """Programs and packages of this machine, read-only, and the agent's folder."""
    python = Path(sys.base_prefix)
    read = [*SYSTEM, PROJECT, *([] if python.is_relative_to("/usr") else [python])]
    found = [Mount(host_path=str(path.resolve()), container_path=str(path), read_only=True) for path in read]
    return [*found, Mount(host_path=str(host.folder), container_path=str(host.folder), propagation=SHARED)]


async def run_agent(host: Host, server: Server, machines: CriRuntime) -> str:
    """The id of the agent's sandbox, in the host's network."""
    for archive in (pause_archive(), sample_archive()):
        await import_archive(machines, io.BytesIO(archive))
    all_of_it = Security(privileged=True)
    sandbox = await machines.run_sandbox(
        SandboxConfig(pod=AGENT, host_network=True, security=all_of_it, namespaces=Namespaces(host_pid=True))
    )
    folder = host.folder / "inside"
    command = [sys.executable, "-m", "kmini", "agent", "--node-name", host.name, "--data-dir", folder]
    command += ["--server", f"https://127.0.0.1:{server.api_port}", "--token-file", server.data_dir / "token"]
    command += ["--containerd-socket", host.settings.layout.socket, "--cgroup", f"/{host.name}/inside"]
    container = await machines.create_container(
        sandbox,
        ContainerConfig(
            name="agent",
            attempt=0,
            image=SAMPLE,
            command=[str(each) for each in command],
            environment=[("PYTHONPATH", os.pathsep.join(filter(None, sys.path))), ("PATH", "/usr/sbin:/usr/bin")],
            mounts=mounts(host),
            security=all_of_it,
            namespaces=Namespaces(host_pid=True),
        ),
    )
    await machines.start_container(container)
    return sandbox


@contextmanager
def agent_in_a_container(host: Host, server: Server) -> Iterator[CriRuntime]:
    """The host's containerd, seen as somebody else's containers are."""
    runtime = make_runtime(msgspec.structs.replace(host.settings, node="machine"))
    with asyncio.Runner() as runner:
        containerd = make_containerd(host.settings, runtime)
        runner.run(containerd.ensure())
        try:
            sandbox = runner.run(run_agent(host, server, runtime))
            try:
                yield runtime
            except AssertionError as error:
                log = runtime.log_file(
                    PodKey(namespace="kube-system", name="agent", uid="agent-in-a-container"), "agent", 0
                )
                error.add_note(log.read_text()[-4000:])
                raise
            finally:
                runner.run(runtime.remove_sandbox(sandbox))
        finally:
            runner.run(runtime.close())


def sample_pod(name: str) -> dict[str, object]:
    script = "cat /token/token >/dev/null && echo $(cat /notes/says) && touch /shared/seen && sleep 1000"
    container = {
        "name": "main",
        "image": SAMPLE,
        "command": ["sh", "-c", script],
        "volumeMounts": [
            {"name": "token", "mountPath": "/token"},
            {"name": "notes", "mountPath": "/notes"},
            {"name": "shared", "mountPath": "/shared"},
        ],
    }
    volumes = [
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {"name": "notes", "configMap": {"name": "notes"}},
        {"name": "shared", "emptyDir": {"medium": "Memory"}},
    ]
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.mark.timeout(900)
def test_pods_with_volumes_run_beside_an_agent_in_a_container(host: Host) -> None:
    with shared(host), server_of(host) as server, agent_in_a_container(host, server):
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}, "data": {"says": "hello"}}
        soon(lambda: asked(server, "GET", "/api/v1/nodes")["items"], "the node is registered")
        asked(server, "POST", "/api/v1/namespaces/default/configmaps", config_map)
        asked(server, "POST", PODS, sample_pod("beside"))
        soon(lambda: phase(server, "beside") == "Running", "the pod runs")

        logs = host.folder / "inside" / "agent" / "logs"

        def said() -> bool:
            return any("hello" in path.read_text() for path in logs.glob("default_beside_*/main/0.log"))

        soon(said, "what it reads is in its log")
        (status,) = asked(server, "GET", f"{PODS}/beside")["status"]["containerStatuses"]
        assert status["restartCount"] == 0
        asked(server, "DELETE", f"{PODS}/beside")
        soon(lambda: asked(server, "GET", PODS)["items"] == [], "the pod is gone")
        folders = host.folder / "inside" / "agent" / "pods"
        soon(lambda: not list(folders.iterdir()), "nothing of it is left")
