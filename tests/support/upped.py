"""`kmini up` on a machine of its own: a network namespace with a link to nowhere, a folder, and what is seen of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from container_host import own_network
from folder_processes import processes_of
from kmini.api import api_request
from kmini.layout import Layout
from kmini.up.machine import group_of
from kmini_process import kmini

from nodeagent.runtime import cgroups, processes
from nodeagent.runtime.containerd_config import Layout as ContainerdLayout
from nodeagent.runtime.teardown import force

WITHIN_S = 240.0
ADDRESS = "192.0.2.77"
HELLO = "/apis/apps/v1/namespaces/default/deployments/hello"
_PODS = "/api/v1/namespaces/default/pods?labelSelector=app%3Dhello"


class Upped:
    """Commands run in this thread's network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(folder / "data")

    def run(self, *arguments: object, data_dir: Path | None = None) -> subprocess.CompletedProcess[str]:
        name, *more = arguments
        return kmini(name, "--data-dir", data_dir or self.layout.data_dir, *more, timeout_s=WITHIN_S)

    def up(self, *more: object) -> str:
        """What it said. AssertionError when it failed."""
        done = self.run("up", *more)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self._log()}"
        return done.stdout

    def down(self, *more: object) -> str:
        done = self.run("down", *more)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "-o", "json").stdout)
        return found

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        return api_request(self.layout, method, path, body)

    def pods(self) -> list[dict[str, Any]]:
        found = self.ask("GET", _PODS)["items"]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def containers(self) -> list[str]:
        return [each["containerID"] for pod in self.pods() for each in pod["status"]["containerStatuses"]]

    def scale(self, replicas: int) -> None:
        body = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "hello", "namespace": "default"},
            "spec": {"replicas": replicas},
        }
        self.ask("PUT", f"{HELLO}/scale", body)

    def traces(self) -> list[str]:
        """All that is seen of it outside of its folder."""
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        groups = [each for each in cgroups.groups(group_of(self.layout)) if each.exists()]
        return [
            *(f"process {pid}" for pid in processes_of(self.folder)),
            *(f"group {each}" for each in groups),
            *(f"mount {line}" for line in mounts if str(self.folder) in line),
            *(f"link {line.split()[0]}" for line in _printed("ip", "-br", "link")),
            *(f"route {line}" for line in _printed("ip", "route")),
            *(f"rule {line}" for line in _printed("nft", "list", "ruleset")),
        ]

    def containerd(self) -> processes.Process:
        config = ContainerdLayout(self.layout.agent / "containerd").config
        (found,) = processes.find(["--config", str(config)])
        return found

    def _log(self) -> str:
        logs = (self.layout.server_log, self.layout.agent_log)
        return "\n".join(path.read_text()[-3000:] for path in logs if path.exists())


def _printed(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@contextmanager
def machine() -> Iterator[Upped]:
    """Nothing is left of it afterwards, whatever happened in it."""
    folder = Path(tempfile.mkdtemp(prefix="kmini-", dir="/tmp"))
    upped = Upped(folder)
    with own_network():
        for command in (
            "link add up0 type veth peer name up1",
            f"address add {ADDRESS}/24 dev up0",
            "link set up0 up",
            "link set up1 up",
            "route add default dev up0",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        try:
            yield upped
        finally:
            upped.run("down")
            for pid in processes_of(folder):
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            force(group=group_of(upped.layout), folder=folder)
            shutil.rmtree(folder)
