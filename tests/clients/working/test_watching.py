"""kubectl in the background of a cluster that works: what it watches and waits for comes by itself."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kmini_process import Server
from kubectl_binaries import Kubectl
from kubectl_output import without_generated
from kubectl_shell import Shell

#: A template whose pods wait, and what lets them go.
CLOSED = '{"spec":{"template":{"spec":{"schedulingGates":[{"name":"example.com/wait"}]}}}}'
OPENED = '[{"op":"remove","path":"/spec/template/spec/schedulingGates"}]'
_numbers = itertools.count(1)


@pytest.fixture
def shell(kubectl: Kubectl, cluster: Server, tmp_path: Path) -> Iterator[Shell]:
    """In a namespace of its own."""
    one = Shell(kubectl, cluster.data_dir / "kubeconfig", tmp_path / "work")
    name = f"watching-{next(_numbers)}"
    one.use_namespace(name)
    yield one
    one.ok(f"delete namespace {name}")


@contextmanager
def started(shell: Shell, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = shell.start(arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """All lines up to the first that has `text`."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(without_generated(line.rstrip()))
        if text in seen[-1]:
            return seen
    raise AssertionError(f"{text!r} was not printed: {seen}")


@contextmanager
def watching(shell: Shell, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`kubectl get --watch`, once the server has begun to tell it changes."""
    with started(shell, "get", *arguments, "--watch", "-v=6") as watch:
        lines_until(watch, "watch=true")
        yield watch


def test_a_deployment_is_watched_from_nothing_to_all_its_pods(shell: Shell) -> None:
    with watching(shell, "deployments") as watch:
        shell.ok("create deployment web --image=nginx:1.25 --replicas=3")
        seen = lines_until(watch, "3/3  3  3")
    assert seen[:2] == ["NAME  READY  UP-TO-DATE  AVAILABLE  AGE", "web  0/3  0  0  AGE"]


def test_a_pod_is_watched_through_its_life(shell: Shell) -> None:
    with watching(shell, "pods", "--output-watch-events") as watch:
        shell.ok("run one --image=nginx:1.25")
        born = lines_until(watch, "Running")
        shell.ok("delete pod one")
        gone = lines_until(watch, "DELETED")
    assert born[1] == "ADDED  one  0/1  Pending  0  AGE"
    assert born[-1] == "MODIFIED  one  1/1  Running  0  AGE"
    assert "MODIFIED  one  1/1  Terminating  0  AGE" in gone


def test_rollout_status_follows_an_update_that_stops_and_goes_on(shell: Shell) -> None:
    shell.ok("create deployment web --image=nginx:1.25 --replicas=2")
    shell.ok("rollout status deployment/web")
    shell.ok(f"patch deployment web -p '{CLOSED}'")
    with started(shell, "rollout", "status", "deployment/web") as status:
        lines_until(status, "1 out of 2 new replicas")
        shell.ok(f"patch deployment web --type=json -p '{OPENED}'")
        assert lines_until(status, "success")[-1] == 'deployment "web" successfully rolled out'
        assert status.wait() == 0


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        ("condition=Available", f"patch deployment web --type=json -p '{OPENED}'"),
        ("jsonpath={.status.readyReplicas}=1", f"patch deployment web --type=json -p '{OPENED}'"),
        ("delete", "delete deployment web --wait=false"),
        ("delete", "delete deployment web --cascade=foreground --wait=false"),
    ],
    ids=["condition", "jsonpath", "deletion in the background", "deletion in the foreground"],
)
def test_wait_ends_when_it_is_so(shell: Shell, wanted: str, change: str) -> None:
    shell.ok("create deployment web --image=nginx:1.25 --replicas=0")
    shell.ok(f"patch deployment web -p '{CLOSED}'")
    shell.ok("scale deployment web --replicas=1")
    shell.ok("wait --for=condition=Available=false deployment/web --timeout=200s")
    with started(shell, "wait", f"--for={wanted}", "deployment/web", "--timeout=200s", "-v=6") as wait:
        lines_until(wait, "watch=true")
        shell.ok(change)
        assert lines_until(wait, "deployment.apps/web")[-1] == "deployment.apps/web condition met"
        assert wait.wait() == 0


def test_deletion_of_a_namespace_is_over_when_it_is_empty(shell: Shell) -> None:
    shell.ok("create namespace going")
    shell.ok("-n going create deployment web --image=nginx:1.25 --replicas=2")
    shell.ok("-n going create configmap held")
    shell.ok('-n going patch configmap held -p \'{"metadata":{"finalizers":["example.com/hold"]}}\'')
    with started(shell, "delete", "namespace", "going", "-v=6") as deletion:
        lines_until(deletion, "watch=true")
        shell.ok("wait --for=condition=NamespaceFinalizersRemaining namespace/going --timeout=200s")
        assert deletion.poll() is None
        shell.ok('-n going patch configmap held -p \'{"metadata":{"finalizers":null}}\'')
        assert deletion.wait() == 0
    assert "NotFound" in shell.run("kubectl get namespace going")[0]
