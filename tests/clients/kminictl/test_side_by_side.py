"""kubectl and kminictl print the same, byte for byte, when they are asked the same at the same moment."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kminictl_program import kminictl_program
from kubectl_binaries import MISSING, Kubectl, installed
from kubectl_shell import COMMAND_TIMEOUT_S, Shell
from working_cluster import working_cluster

HERE = Path(__file__).parent
COMMANDS = [line for line in (HERE / "commands.txt").read_text(encoding="utf-8").splitlines() if line[0] != "#"]
MANIFESTS = ("pods.yaml", "web.yaml", "kinds.yaml", "accounts.yaml")
TRIES = 6  # ages and leases move between two programs; they rarely do so twice
Printed = tuple[str, str, int]


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, Shell]]:
    """kubectl's and kminictl's, with the same files and the same namespace."""
    found = installed()
    if not found:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("side-by-side")
    (folder / "cluster").mkdir()
    with working_cluster(folder / "cluster") as server:
        config, files = server.data_dir / "kubeconfig", HERE.parent / "files"
        kubectl = Shell(Kubectl(max(found), found[max(found)]), config, folder / "kubectl", files)
        kminictl = Shell(kminictl_program(folder), config, folder / "kminictl-work", files)
        kubectl.use_namespace("side")
        kminictl.ok("config set-context --current --namespace=side")
        kubectl.ok("apply " + " ".join(f"-f {name}" for name in MANIFESTS))
        kubectl.ok("rollout status deployment/web")
        kubectl.ok("wait --for=condition=Ready pods --all")
        yield kubectl, kminictl


def _printed(shell: Shell, command: str) -> Printed:
    done = subprocess.run(
        ["bash", "-c", f"kubectl {command}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        cwd=shell.folder,
        env=shell.environment,
        check=False,
    )
    return done.stdout, done.stderr.replace("kminictl", "kubectl"), done.returncode


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_words(shells: tuple[Shell, Shell], command: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(TRIES):
            expected, printed = pool.map(lambda shell: _printed(shell, command), shells)
            if expected == printed:
                break
    assert printed == expected


def test_watches_show_the_same_changes(shells: tuple[Shell, Shell]) -> None:
    """Both begin with what is there, and are told of one pod from its first moment to its last."""
    asked = ["get", "pods", "-l", "watched=yes", "-w", "--output-watch-events", "--no-headers"]
    kubectl, kminictl = shells
    kubectl.ok("run there --image=x --labels=watched=yes")
    kubectl.ok("wait --for=condition=Ready pod/there")
    watching = [shell.start(asked) for shell in shells]
    try:
        seen = [_until(each, "ADDED", "there") for each in watching]
        assert seen[0] == seen[1]
        kubectl.ok("run first --image=x --labels=watched=yes")
        kminictl.ok("wait --for=condition=Ready pod/first")
        kminictl.ok("delete pod first")
        seen = [_until(each, "DELETED", "first") for each in watching]
    finally:
        for each in watching:
            each.kill()
            each.communicate()
        kubectl.ok("delete pod there")
    assert seen[0] == seen[1]


def _until(process: subprocess.Popen[str], *words: str) -> list[list[str]]:
    """The lines up to the one with these words, without their ages."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.split()[:-1])
        if all(word in line for word in words):
            return lines
    raise AssertionError(f"the watch ended before it said {words}: {lines}")
