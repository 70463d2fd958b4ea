"""A leader by a Lease that sleeps through its own deposition: what it wrote with a fence does not happen.

Its writes are under way when its server is stopped: sent, and read by nobody. Another takes the Lease over through the
replicas that are left; then the server wakes up and finds the writes, which look as good as ever.
"""

from __future__ import annotations

import http.client
import json
import signal
import ssl
from typing import Any

from api_history import events_of_server
from kmini.client import EtcdClient
from kmini_process import Server, eventually
from server_faults import leader_of

from apiserver.client.access import tls_context
from apiserver.client.kubeconfig import load
from raftstore import EventType

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
MAPS = "/api/v1/namespaces/default/configmaps"
TIMEOUT_S = 60.0
WRITES = 4  # of each kind, each on a connection of its own

Headers = dict[str, str]


class Line:
    """A connection to one server, open before it is needed: what is sent later goes out even if nobody reads."""

    def __init__(self, server: Server) -> None:
        context: ssl.SSLContext = tls_context(load(server.data_dir / "kubeconfig"))
        self._connection = http.client.HTTPSConnection("127.0.0.1", server.api_port, timeout=TIMEOUT_S, context=context)
        self.ask("GET", f"{MAPS}?limit=1")

    def send(self, method: str, path: str, body: Any = None, headers: Headers | None = None) -> None:
        """Return once all of it has left this process."""
        raw = None if body is None else json.dumps(body)
        self._connection.request(method, path, raw, {"Content-Type": "application/json", **(headers or {})})

    def answer(self) -> tuple[int, Any]:
        answered = self._connection.getresponse()
        return answered.status, json.loads(answered.read())

    def ask(self, method: str, path: str, body: Any = None, headers: Headers | None = None) -> tuple[int, Any]:
        self.send(method, path, body, headers)
        return self.answer()

    def close(self) -> None:
        self._connection.close()


def hold(line: Line, holder: str) -> Any:
    """Take the Lease, as a client of client-go does: by the version that was read. None when that was refused."""
    code, lease = line.ask("GET", f"{LEASES}/election")
    if code == 404:
        code, lease = line.ask("POST", LEASES, {"metadata": {"name": "election"}, "spec": {"holderIdentity": holder}})
        return lease if code == 201 else None
    if code != 200:
        return None
    lease["spec"]["holderIdentity"] = holder
    code, lease = line.ask("PUT", f"{LEASES}/election", lease)
    return lease if code == 200 else None


def fence(lease: Any) -> Headers:
    return {"X-Kmini-Fence": f"default/election/{lease['spec']['leaseTransitions']}"}


def config(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def test_a_deposed_leaders_write_that_was_under_way_fails_and_without_a_fence_it_does_not(
    servers: list[Server],
) -> None:
    asleep = leader_of(servers)
    other = next(server for server in servers if server is not asleep)
    fenced, bare = [Line(asleep) for _ in range(WRITES)], [Line(asleep) for _ in range(WRITES)]
    held = eventually(lambda: hold(fenced[0], "first"), what="the Lease for the first")
    code, _ = fenced[0].ask("POST", MAPS, config("as-leader"), fence(held))
    assert code == 201

    asleep.send(signal.SIGSTOP)  # the first has looked at its Lease, and is about to write
    try:
        for number, (line, twin) in enumerate(zip(fenced, bare, strict=True)):
            line.send("POST", MAPS, config(f"fenced-{number}"), fence(held))
            twin.send("POST", MAPS, config(f"bare-{number}"))
        rival = Line(other)
        taken = eventually(lambda: hold(rival, "second"), what="the Lease for the second")
    finally:
        asleep.send(signal.SIGCONT)

    refused = [line.answer() for line in fenced]
    assert [(code, said["reason"]) for code, said in refused] == [(409, "Fenced")] * WRITES
    assert all("has moved on from transition" in said["message"] for _, said in refused)
    # The danger, and why the fence is there: the first wrote although it leads no more.
    written = [line.answer() for line in bare]
    assert [code for code, _ in written] == [201] * WRITES
    deposed_at = int(taken["metadata"]["resourceVersion"])
    assert all(int(made["metadata"]["resourceVersion"]) > deposed_at for _, made in written)

    code, now = fenced[0].ask("POST", MAPS, config("fenced-again"), fence(held))
    assert (code, now["reason"]) == (409, "Fenced")
    code, _ = rival.ask("POST", MAPS, config("as-second"), fence(taken))
    assert code == 201
    with EtcdClient(other.etcd_address, other.pki) as etcd:
        happened = [event for event in events_of_server(etcd) if event.type is EventType.PUT]
    assert not [event.kv.key for event in happened if b"/fenced-" in event.kv.key]
    for line in (*fenced, *bare, rival):
        line.close()
