"""An agent that is killed, and another one: what containers said before is still known."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from container_agent import agent_of, container, server_of, soon
from container_host import Host
from pods_place import PodsPlace


def test_last_words_outlive_the_agent(host: Host) -> None:
    with server_of(host) as server:
        place = PodsPlace(host, server)
        with agent_of(host, server) as first:
            words = container("ends", "printf 'no money left' > /dev/termination-log; exit 4")
            place.make("talks", container("main", "exec sleep 1000"), words, restartPolicy="Never")
            place.ended("talks", "ends")
            soon(lambda: place.container("talks").get("started"), "the other one runs")
            before = place.status("talks")
            first.send_signal(signal.SIGKILL)
            first.wait()
        _, group = place.groups("talks", "pids", [each["name"] for each in before["containerStatuses"]].index("main"))
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):  # they end with their first one
                os.kill(int(pid), signal.SIGKILL)
        with agent_of(host, server):
            assert place.ended("talks")["exitCode"] == 137
            soon(lambda: place.status("talks")["phase"] == "Failed", "the end of the pod")
            after = place.status("talks")
    (said,) = [each for each in after["containerStatuses"] if each["name"] == "ends"]
    assert said in before["containerStatuses"]
    assert said["state"]["terminated"]["message"] == "no money left"
    assert after["podIP"] == before["podIP"]
