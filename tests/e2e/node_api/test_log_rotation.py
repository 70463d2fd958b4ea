"""A log that grows is put aside while somebody follows it: nothing is lost, and it goes with the container."""

from __future__ import annotations

from container_agent import PODS, asked, container, make_pod, soon
from container_host import Host
from kmini_process import Server
from kubectl_shell import Shell

FIRST, LAST = 250_000, 251_000  # the first are more than 10 MiB


def test_nobody_loses_a_line(host: Host, server: Server, newest: Shell) -> None:
    logs = host.folder / "agent" / "logs"
    script = f"seq 1 {FIRST}; until test -f /go; do sleep 0.1; done; seq {FIRST + 1} {LAST}; sleep 1"
    make_pod(server, "grows", container("main", script), restartPolicy="Never")
    soon(lambda: newest.run("kubectl logs grows --tail=1")[0] == f"{FIRST}\n", "the first lines")
    following = newest.start(["logs", "-f", "grows"])
    try:
        assert following.stdout is not None
        first = following.stdout.readline()  # it follows now
        soon(lambda: list(logs.glob("default_grows_*/main/0.log.1")), "the log is put aside")
        newest.ok("exec grows -- touch /go")
        text = first + following.stdout.read()
    finally:
        following.kill()
        following.communicate()
    everything = [str(number) for number in range(1, LAST + 1)]
    assert text.split() == everything
    assert newest.ok("logs grows").split() == everything, "what was put aside is shown too"
    assert newest.ok(f"logs grows --tail={LAST - FIRST + 2}").split() == everything[FIRST - 2 :]
    asked(server, "DELETE", f"{PODS}/grows?gracePeriodSeconds=0")
    soon(lambda: list(logs.glob("default_grows_*")) == [], "nothing is left")
