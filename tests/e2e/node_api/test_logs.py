"""`kubectl logs` of real containers: through the API server, the agent's port, and the files containerd writes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from container_agent import PODS, asked, container, container_states, make_pod, phase, soon
from kmini_process import Server
from kubectl_shell import Shell

COUNT = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done"


@pytest.fixture(scope="module")
def pods(server: Server) -> Iterator[None]:
    """`two` has ended well, `again` ends and is restarted, `stuck` never starts, `ticks` goes on."""
    tick = "i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.2; done"
    make_pod(server, "two", container("a", COUNT), container("b", "echo from b"), restartPolicy="Never")
    make_pod(server, "again", container("main", "echo run; sleep 1; exit 3"))
    make_pod(server, "stuck", {"name": "main", "image": "kmini.local/none:1"})
    make_pod(server, "ticks", container("main", tick))
    long = "head -c 40000 /dev/zero | tr '\\0' x; echo; printf end"
    make_pod(server, "long", container("main", long), restartPolicy="Never")
    soon(lambda: phase(server, "two") == phase(server, "long") == "Succeeded", "pods end")
    soon(lambda: phase(server, "ticks") == "Running", "a pod runs")
    soon(lambda: "waiting" in container_states(server, "stuck").get("main", {}), "a pod waits")
    yield
    for name in ("two", "again", "stuck", "ticks", "long"):
        asked(server, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")


def test_all_of_it_the_last_lines_and_so_many_bytes(pods: None, kubectl: Shell) -> None:
    assert sorted(kubectl.ok("logs two -c a").splitlines()) == sorted(
        [f"{stream} {number}" for stream in ("out", "err") for number in range(1, 6)]
    )
    assert kubectl.ok("logs two -c b") == "from b\n"
    assert len(kubectl.ok("logs two -c a --tail=3").splitlines()) == 3
    assert kubectl.ok("logs two -c a --tail=0") == ""
    assert kubectl.ok("logs two -c b --limit-bytes=4") == "from"
    every = kubectl.ok("logs two --all-containers --prefix").splitlines()
    assert len(every) == 11
    assert "[pod/two/b] from b" in every


def test_long_lines_are_put_together(pods: None, kubectl: Shell) -> None:
    """containerd writes them in parts of 16 KiB."""
    assert kubectl.ok("logs long") == "x" * 40000 + "\nend"
    assert kubectl.ok("logs long --tail=2") == "x" * 40000 + "\nend"


def test_times(pods: None, kubectl: Shell) -> None:
    (line,) = kubectl.ok("logs two -c b --timestamps").splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) from b", line)
    assert kubectl.ok("logs two -c b --since=1h") == "from b\n"
    assert kubectl.ok("logs two -c b --since-time=2100-01-01T00:00:00Z") == ""
    assert kubectl.ok("logs two -c b --since-time=2000-01-01T00:00:00+02:00") == "from b\n"


def test_it_follows_what_goes_on_and_ends_with_the_container(pods: None, kubectl: Shell) -> None:
    assert kubectl.ok("logs -f two -c b") == "from b\n"
    following = kubectl.start(["logs", "-f", "ticks", "--tail=1"])
    try:
        assert following.stdout is not None
        first = int(following.stdout.readline().removeprefix("tick "))
        more = [int(following.stdout.readline().removeprefix("tick ")) for _ in range(10)]
        assert more == list(range(first + 1, first + 11))
    finally:
        following.kill()
        following.communicate()


def test_the_run_before(pods: None, server: Server, kubectl: Shell) -> None:
    soon(lambda: container_states(server, "again").get("main", {}).get("restarts", 0) >= 1, "a restart")
    assert kubectl.ok("logs again -p") == "run\n"
    assert kubectl.ok("logs again") in ("", "run\n")
    text, code = kubectl.run("kubectl logs two -c b --previous")
    assert code == 1
    assert 'previous terminated container "b" in pod "two" not found' in text


def test_what_cannot_be_shown(pods: None, kubectl: Shell) -> None:
    text, code = kubectl.run("kubectl logs stuck")
    assert code == 1
    assert re.search(r'container "main" in pod "stuck" is waiting to start: \w+', text), text
    text, code = kubectl.run("kubectl logs two -c none")
    assert code == 1
    assert "container none is not valid for pod two" in text
