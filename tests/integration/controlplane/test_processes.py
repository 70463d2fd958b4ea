"""Controllers as processes of their own: election among them, pauses, ends of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from controllers_process import ControllersProcess, until, with_admin
from controllers_world_objects import replica_set
from kmini_process import Server, eventually, kmini, running
from ports import free_ports

from apiserver.api.apps import ReplicaSet
from apiserver.api.coordination import Lease
from apiserver.api.core.pod import Pod
from apiserver.api.core.service_account import ServiceAccount
from apiserver.api.errors import NotFound
from apiserver.api.meta import ObjectMeta
from apiserver.api.rbac import ClusterRoleBinding, RoleRef, Subject
from apiserver.client import Client, requests
from controlplane.runtime.election import NAMESPACE
from controlplane.runtime.manager import LEASE

LABELS = {"app": "web"}


async def holder(client: Client) -> str:
    try:
        lease = await client.get(Lease, LEASE, namespace=NAMESPACE)
    except NotFound:
        return ""
    return (lease.spec.holder_identity or "").partition("_")[0]


async def pods_of(client: Client) -> list[Pod]:
    return [pod async for pod in client.list(Pod, namespace="default", labels=LABELS)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server("n1", tmp_path / "n1", "--etcd-port", "0")
    with running(found):
        yield found


@pytest.mark.timeout(400)
def test_a_paused_leader_writes_nothing_after_another_took_over(server: Server, tmp_path: Path) -> None:
    """SIGSTOP while it makes pods: of what it still has on its way when it goes on, nothing takes effect."""
    wanted = 1500

    async def ask_for_more(client: Client) -> None:
        nonlocal wanted
        before, wanted = wanted, wanted + 500
        await client.patch(ReplicaSet, "web", {"spec": {"replicas": wanted}}, namespace="default")

        async def begun() -> bool:
            return len(await pods_of(client)) > before

        await until(begun, what="more pods")

    async def body(client: Client) -> None:
        await until(lambda: leads(client, "one"), what="one leads")
        other.start()
        await client.create(replica_set("web", wanted, labels=LABELS))

        async def some() -> bool:
            return len(await pods_of(client)) > 50

        await until(some, what="some pods are there")
        one.send(signal.SIGSTOP)
        while len(await pods_of(client)) == wanted:  # it is to be paused in the middle of its work
            one.send(signal.SIGCONT)
            await ask_for_more(client)
            one.send(signal.SIGSTOP)
        await until(lambda: leads(client, "other"), what="other takes over", timeout_s=90)

        async def all_there() -> bool:
            return len(await pods_of(client)) == wanted

        await until(all_there, what="the other one makes the rest", timeout_s=120)
        page = await client.list_page(Pod, namespace="default")
        one.send(signal.SIGCONT)
        eventually(lambda: one.said("no longer leading"), 60, "the paused one notices")
        version, changes = page.metadata.resource_version, []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                async for event in client.watch(Pod, namespace="default", resource_version=version):
                    changes.append(event.type)
        assert {"ADDED", "DELETED"}.isdisjoint(changes)  # the other one may still say that they have no node

    with ControllersProcess(server, "one", tmp_path) as one:
        other = ControllersProcess(server, "other", tmp_path)
        try:
            with_admin(server, body)
        finally:
            other.__exit__()


async def leads(client: Client, name: str) -> bool:
    return await holder(client) == name


def test_one_that_is_ended_hands_over_at_once(server: Server, tmp_path: Path) -> None:
    async def body(client: Client) -> None:
        await until(lambda: leads(client, "one"), what="one leads")
        with ControllersProcess(server, "other", tmp_path):
            assert one.end() == 0
            assert await holder(client) != "one", "it did not wait for its time to run out"
            await until(lambda: leads(client, "other"), what="other takes over", timeout_s=60)

    with ControllersProcess(server, "one", tmp_path) as one:
        with_admin(server, body)


def test_a_controller_can_be_left_out(server: Server, tmp_path: Path) -> None:
    async def body(client: Client) -> None:
        await client.create(replica_set("web", 2, labels=LABELS))
        await until(lambda: leads(client, "one"), what="one leads")

        one.end()
        with ControllersProcess(server, "two", tmp_path, "--without", "replicaset") as two:
            await until(lambda: leads(client, "two"), what="two leads")
            await client.patch(ReplicaSet, "web", {"spec": {"replicas": 5}}, namespace="default")
            two.end()
        assert len(await pods_of(client)) <= 2
        with ControllersProcess(server, "three", tmp_path, "--without", "node-ipam"):

            async def five() -> bool:
                return len(await pods_of(client)) == 5

            await until(five, what="five pods")

    with ControllersProcess(server, "one", tmp_path) as one:
        with_admin(server, body)


def test_its_numbers_are_for_who_may_get_them(server: Server, tmp_path: Path) -> None:
    [port] = free_ports(1)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def ask(path: str, token: str = "") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, context=context, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    async def tokens(client: Client) -> list[str]:
        """Of an account that may see numbers, and of one that may not."""
        found = []
        for name in ("prometheus", "nobody"):
            await client.create(ServiceAccount(metadata=ObjectMeta(name=name, namespace="default")))
            path = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            answer = msgspec.json.decode((await client.send(requests.create(path, body))).body)
            found.append(answer["status"]["token"])
        await client.create(
            ClusterRoleBinding(
                metadata=ObjectMeta(name="prometheus"),
                role_ref=RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name="system:monitoring"),
                subjects=[Subject(kind="ServiceAccount", name="prometheus", namespace="default")],
            )
        )
        await until(lambda: leads(client, "one"), what="one leads")
        return found

    with ControllersProcess(server, "one", tmp_path, "--metrics-port", str(port)):
        may, may_not = with_admin(server, tokens)
        assert ask("/livez") == (200, "ok")
        eventually(lambda: ask("/readyz")[1].startswith("ok: leads"), 60, "it knows what the others do")
        assert ask("/metrics")[0] == 401
        assert ask("/metrics", "nonsense")[0] == 403
        assert ask("/metrics", may_not)[0] == 403
        code, text = ask("/metrics", may)
        assert code == 200
        assert 'leader_election_master_status{name="kmini-controllers"} 1.0' in text
        with ControllersProcess(server, "two", tmp_path, "--metrics-port", str(port)) as two:
            assert two.process is not None
            assert two.process.wait(60) == 1


def test_wrong_flags_are_one_clear_line(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("apiVersion: v1\nkind: Config\n")
    done = kmini("controllers", "--kubeconfig", config)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    done = kmini("controllers", "--kubeconfig", config, "--without", "nonsense")
    assert done.returncode == 1
    assert "there is no controller 'nonsense'; there are: " in done.stderr
    for wrong, why in (("inside", "'inside' is none of in-process, child, none"), ("-nonsense", "no controller")):
        done = kmini("server", "--name", "n", "--data-dir", tmp_path / "n", "--controllers", wrong)
        assert done.returncode == 2
        assert why in done.stderr


def test_a_servers_child_is_started_again_and_ends_with_it(tmp_path: Path) -> None:
    server = Server("n1", tmp_path / "n1", "--etcd-port", "0", controllers="child")

    def child() -> int:
        listed = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        return int(listed[0]) if listed else 0

    async def leading(client: Client) -> bool:
        return bool(await until(lambda: leads(client, "n1"), what="the child leads"))

    with running(server):
        first = eventually(child, 60, "a child")
        assert with_admin(server, leading)
        os.kill(first, signal.SIGKILL)
        second = eventually(lambda: child() not in (0, first) and child(), 60, "another child")
        server.kill()
        eventually(lambda: not Path(f"/proc/{second}").exists(), 60, "the child's end")
