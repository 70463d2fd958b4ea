"""kubectl in the background: what it watches and waits for comes while it looks."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kmini_process import Server
from kubectl_binaries import Kubectl
from kubectl_output import normalised
from kubectl_shell import Shell

RUNNING = '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
_numbers = itertools.count(1)


@pytest.fixture
def shell(kubectl: Kubectl, server: Server, tmp_path: Path) -> Shell:
    """In a namespace of its own, with one pod."""
    one = Shell(kubectl, server.data_dir / "kubeconfig", tmp_path / "work")
    one.use_namespace(f"waiting-{next(_numbers)}")
    one.ok("run one --image=nginx:1.25")
    return one


@contextmanager
def started(shell: Shell, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = shell.start(arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """The next line that has `text`; everything before it is passed over."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return normalised(line.strip())
    raise AssertionError(f"{text!r} was not printed: {seen}")


def test_get_watch_tells_every_change(shell: Shell) -> None:
    with started(shell, "get", "pods", "--watch", "--output-watch-events") as watch:
        assert line_with(watch, "ADDED") == "ADDED  one  0/1  Pending  0  AGE"
        shell.ok("run two --image=nginx:1.25")
        assert line_with(watch, "two") == "ADDED  two  0/1  Pending  0  AGE"
        shell.ok(f"patch pod one --subresource=status -p '{RUNNING}'")
        assert line_with(watch, "MODIFIED") == "MODIFIED  one  0/1  Running  0  AGE"
        shell.ok("delete pod two --grace-period=0 --force")
        assert line_with(watch, "DELETED") == "DELETED  two  0/1  Pending  0  AGE"


def test_a_selector_of_a_watch_sees_objects_come_and_go(shell: Shell) -> None:
    with started(shell, "get", "pods", "--watch", "--output-watch-events", "-l", "role=db") as watch:
        shell.ok("label pod one role=db")
        assert line_with(watch, " one ") == "ADDED  one  0/1  Pending  0  AGE"
        shell.ok("label pod one role=web --overwrite")
        assert line_with(watch, " one ") == "DELETED  one  0/1  Pending  0  AGE"


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        ("jsonpath={.status.phase}=Running", f"patch pod one --subresource=status -p '{RUNNING}'"),
        ("condition=Ready", f"patch pod one --subresource=status -p '{RUNNING}'"),
        ("delete", "delete pod one --grace-period=0 --force"),
    ],
)
def test_wait_ends_when_it_is_so(shell: Shell, wanted: str, change: str) -> None:
    with started(shell, "wait", f"--for={wanted}", "pod/one", "--timeout=200s", "-v=6") as wait:
        line_with(wait, "watch=true")
        shell.ok(change)
        assert line_with(wait, "pod/one").endswith("condition met")
        assert wait.wait() == 0


def test_wait_gives_up_in_time(shell: Shell) -> None:
    printed, code = shell.run("kubectl wait --for=condition=Ready pod/one --timeout=5s")
    assert (code, "timed out waiting for the condition on pods/one" in printed) == (1, True)
