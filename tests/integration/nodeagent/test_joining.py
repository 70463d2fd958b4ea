"""A machine becomes a node: with the right token of the right cluster, and not otherwise."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography import x509
from joined_agent import Joined, is_gone, is_ready, make_token, phase_is, pod_named, until
from kmini.testing.fixture import Kmini
from ports import free_ports

from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.errors import Forbidden, NotFound
from apiserver.client import Client
from apiserver.client.pods import bind
from nodeagent.errors import AgentError, BadIdentity, JoinRefused, NoAnswer
from nodeagent.joining import ensure_identity
from nodeagent.keys import NodeKeys, validity_of
from nodeagent.renewal import Renewal


def test_from_a_token_to_a_pod_that_runs_and_goes(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        joined = Joined(kmini, "worker-1", tmp_path)
        await joined.join(await make_token(kmini, tmp_path))
        assert {path.name for path in joined.identity.folder.iterdir()} == {"ca.crt", "client.pem"}
        assert (joined.identity.folder / "client.pem").stat().st_mode & 0o777 == 0o600
        async with joined.runs(), kmini.client as client:
            node = await client.get(Node, "worker-1")
            assert [each.address for each in node.status.addresses] == ["192.0.2.7", "worker-1"]
            assert node.metadata.labels["kubernetes.io/hostname"] == "worker-1"
            lease = await until(lambda: _lease(client, "worker-1"), "the lease")
            assert (lease.spec.holder_identity, lease.spec.lease_duration_seconds) == ("worker-1", 40)
            assert lease.metadata.owner_references[0].uid == node.metadata.uid
            await client.create(pod_named("web", kmini.namespace))
            await bind(client, "web", "worker-1")
            pod = await phase_is(client, "web", "Running")
            assert is_ready(pod)
            assert pod.status.pod_ip
            await client.delete(Pod, "web")
            await is_gone(client, "web")
            assert not joined.runtime.running

    asyncio.run(story())


def certificate_of(joined: Joined) -> x509.Certificate | None:
    return NodeKeys(joined.identity.question("look")).certificate()


async def _lease(client: Client, name: str) -> Lease | None:
    try:
        return await client.get(Lease, name, namespace="kube-node-lease")
    except NotFound:
        return None


def test_what_a_node_may_not_do_it_may_not(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        joined = Joined(kmini, "worker-2", tmp_path)
        await joined.join(await make_token(kmini, tmp_path))
        async with kmini.client as client, joined.client() as node:
            await client.create(pod_named("other", kmini.namespace))
            with pytest.raises(Forbidden):
                await node.list_page(Pod)
            with pytest.raises(Forbidden):
                await node.get(Pod, "other", namespace=kmini.namespace)

    asyncio.run(story())


def secret_in(token_file: Path) -> str:
    return token_file.read_text().strip().rpartition(".")[2]


async def refused(kmini: Kmini, folder: Path, token_file: Path, *, name: str = "worker-9") -> str:
    joined = Joined(kmini, name, folder)
    with pytest.raises(JoinRefused) as caught:
        await joined.join(token_file)
    message = str(caught.value)
    assert "\n" not in message
    assert secret_in(token_file) not in message, "the secret is shown"
    assert not (joined.identity.folder / "client.pem").exists()
    return message


def test_a_wrong_secret_is_refused_in_one_line(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        good = (await make_token(kmini, tmp_path)).read_text().strip()
        wrong = tmp_path / "wrong"
        wrong.write_text(good[:-16] + "0123456789abcdef")
        message = await refused(kmini, tmp_path, wrong)
        assert message.startswith("the cluster does not take the token ")

    asyncio.run(story())


def test_another_ca_is_refused_before_anything_is_sent(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        good = (await make_token(kmini, tmp_path)).read_text().strip()
        wrong = tmp_path / "wrong"
        wrong.write_text("K1" + "0" * 64 + good[66:])
        message = await refused(kmini, tmp_path, wrong)
        assert "its CA has another hash; it was sent nothing" in message

    asyncio.run(story())


def test_a_token_for_servers_joins_no_node(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        message = await refused(kmini, tmp_path, await make_token(kmini, tmp_path, role="server"))
        assert "may not join as a node: that takes a token of role agent" in message

    asyncio.run(story())


def test_the_name_of_a_node_is_not_given_away_again(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        token = await make_token(kmini, tmp_path)
        joined = Joined(kmini, "worker-3", tmp_path)
        await joined.join(token)
        async with joined.runs():
            pass
        message = await refused(kmini, tmp_path / "thief", token, name="worker-3")
        assert "worker-3 exists" in message
        async with kmini.client as client:
            await client.delete(Node, "worker-3")
        await Joined(kmini, "worker-3", tmp_path / "heir").join(token)

    asyncio.run(story())


def test_who_has_a_certificate_needs_no_token(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        joined = Joined(kmini, "worker-4", tmp_path)
        with pytest.raises(JoinRefused, match=r"is not there yet: joining takes a token"):
            await joined.join(None)
        await joined.join(await make_token(kmini, tmp_path))
        before = certificate_of(joined)
        await joined.join(None)
        assert certificate_of(joined) == before
        other = Joined(kmini, "worker-5", tmp_path)
        other.identity.folder.symlink_to(joined.identity.folder)
        with pytest.raises(BadIdentity, match="is the certificate of system:node:worker-4"):
            await other.join(None)

    asyncio.run(story())


def test_a_certificate_that_is_over_is_no_certificate(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        joined = Joined(kmini, "worker-6", tmp_path)
        await joined.join(await make_token(kmini, tmp_path))
        certificate = certificate_of(joined)
        assert certificate is not None
        later = certificate.not_valid_after_utc.timestamp() + 1
        with pytest.raises(JoinRefused, match="is over: joining takes a token"):
            await ensure_identity(joined.identity, joined.servers, None, wall=lambda: later)

    asyncio.run(story())


def test_who_was_away_until_its_certificate_was_over_hears_what_to_do_and_joins_anew(
    kmini: Kmini, tmp_path: Path
) -> None:
    async def story() -> None:
        joined = Joined(kmini, "worker-11", tmp_path)
        await joined.join(await make_token(kmini, tmp_path))
        async with joined.runs():
            pass
        first = certificate_of(joined)
        assert first is not None
        later = first.not_valid_after_utc.timestamp() + 1

        async def comes_back(token_file: Path) -> None:
            await ensure_identity(joined.identity, joined.servers, token_file, wall=lambda: later)

        over = "^the certificate of system:node:worker-11 is over, and it does not join anew: "
        with pytest.raises(NoAnswer, match=f"{over}there is no token in "):
            await comes_back(tmp_path / "none")
        token = await make_token(kmini, tmp_path)
        with pytest.raises(JoinRefused, match=f"{over}node worker-11 exists: .*delete the Node"):
            await comes_back(token)
        async with kmini.client as client:
            await client.delete(Node, "worker-11")
        await comes_back(token)
        second = certificate_of(joined)
        assert second is not None
        assert second.serial_number != first.serial_number
        async with joined.runs(), kmini.client as client:
            await client.create(pod_named("again", kmini.namespace, node="worker-11"))
            await phase_is(client, "again", "Running")

    asyncio.run(story())


def test_nobody_at_the_address(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        joined = Joined(kmini, "worker-7", tmp_path)
        joined.servers = (f"https://127.0.0.1:{free_ports(1)[0]}",)
        with pytest.raises(NoAnswer, match="no server can be reached"):
            await joined.join(await make_token(kmini, tmp_path))

    asyncio.run(story())


def test_a_server_that_is_away_is_passed_over(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        joined = Joined(kmini, "worker-8", tmp_path)
        joined.servers = (f"https://127.0.0.1:{free_ports(1)[0]}", *joined.servers)
        await joined.join(await make_token(kmini, tmp_path))
        assert certificate_of(joined) is not None

    asyncio.run(story())


def test_at_two_thirds_of_its_life_the_certificate_is_renewed_while_everything_runs(
    kmini: Kmini, tmp_path: Path
) -> None:
    async def story() -> None:
        joined = Joined(kmini, "worker-10", tmp_path)
        await joined.join(await make_token(kmini, tmp_path))
        first = certificate_of(joined)
        assert first is not None
        due = validity_of(first).due_at
        assert first.not_valid_before_utc.timestamp() < due < first.not_valid_after_utc.timestamp()
        async with joined.runs(), joined.client() as node:
            early = asyncio.create_task(Renewal(node, joined.identity, wall=lambda: due - 60).run())
            late = Renewal(node, joined.identity, wall=lambda: due + 1)
            renewing = asyncio.create_task(late.run())

            async def renewed() -> bool:
                return late.renewed > 0

            await until(renewed, "the renewal")
            for task in (early, renewing):
                task.cancel()
            await asyncio.gather(early, renewing, return_exceptions=True)
        second = certificate_of(joined)
        assert second is not None
        assert second.serial_number != first.serial_number
        assert second.public_key() != first.public_key()
        assert (joined.identity.folder / "client.pem").stat().st_mode & 0o777 == 0o600
        async with joined.runs(), kmini.client as client:
            await client.create(pod_named("after", kmini.namespace, node="worker-10"))
            await phase_is(client, "after", "Running")

    asyncio.run(story())


def test_errors_of_joining_are_one_family() -> None:
    assert issubclass(JoinRefused, AgentError)
    assert issubclass(NoAnswer, AgentError)
