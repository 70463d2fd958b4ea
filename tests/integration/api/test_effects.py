"""What must hold is in the transaction: addresses, namespaces, fences and certificates, through three replicas."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from api_cluster import ApiCluster, LoopOf, api_cluster
from api_server import Answered, RunningApi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.effects import addresses
from raftstore import prefix_end

SERVICES = "/api/v1/namespaces/default/services"
MAPS = "/api/v1/namespaces/{}/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MERGE = {"Content-Type": "application/merge-patch+json"}
CIDR = "10.96.0.0/26"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopOf]:
    loop = LoopOf()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def cluster(loop: LoopOf, tmp_path_factory: pytest.TempPathFactory) -> ApiCluster:
    return loop.enter(api_cluster(tmp_path_factory.mktemp("cluster"), service_cidr=CIDR))


def version_of(body: Any) -> int:
    return int(body["metadata"]["resourceVersion"])


# --- addresses of services --------------------------------------------------------------------------------


def service(name: str, **spec: Any) -> dict[str, Any]:
    port: dict[str, Any] = {"port": 80}
    if "node_port" in spec:
        port["nodePort"] = spec.pop("node_port")
    return {"metadata": {"name": name}, "spec": {"ports": [port], "selector": {"a": "b"}, **spec}}


async def taken(api: RunningApi) -> tuple[set[str], set[str]]:
    """Addresses and ports by the keys that hold them, which must be those that the Services of that revision show."""
    await api.store.linearize()
    found, revision = [], api.store.revision
    for prefix in (addresses.ADDRESSES, addresses.PORTS):
        page = api.store.page(prefix, prefix_end(prefix), limit=1_000, revision=revision)
        found.append({kv.key[len(prefix) :].decode() for kv in page.kvs})
    at = f"resourceVersion={revision}&resourceVersionMatch=Exact"
    items = (await api.json("GET", f"/api/v1/services?{at}")).body["items"]
    shown = [each["spec"].get("clusterIP") for each in items]
    ports = [port.get("nodePort") for each in items for port in each["spec"].get("ports", [])]
    given_addresses = [each for each in shown if each not in (None, "None")]
    given_ports = [f"TCP/{each}" for each in ports if each]
    assert len(set(given_addresses)) == len(given_addresses), "no two have one address"
    assert len(set(given_ports)) == len(given_ports), "no two have one port"
    assert set(given_addresses) == found[0]
    assert set(given_ports) == found[1]
    return found[0], found[1]


async def clear_services(cluster: ApiCluster) -> None:
    api = cluster.all[0]
    items = (await api.json("GET", SERVICES)).body["items"]
    await asyncio.gather(
        *(api.json("DELETE", f"{SERVICES}/{each['metadata']['name']}") for each in items if "api" not in each)
    )


def test_no_two_services_get_one_address_or_port(
    loop: LoopOf, cluster: ApiCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly as many as there are, all at once: each replica offers what the others just took."""
    monkeypatch.setattr(addresses, "NODE_PORTS", range(30_000, 30_050))

    async def test() -> None:
        for _ in range(3):
            names = [f"s{next(_numbers)}" for _ in range(40)]
            answers = await asyncio.gather(
                *(
                    cluster.all[number % 3].json("POST", SERVICES, service(name, type="NodePort"))
                    for number, name in enumerate(names)
                )
            )
            codes = {answer.code for answer in answers}
            assert codes <= {201, 503}, [answer for answer in answers if answer.code not in (201, 503)]
            assert sum(answer.code == 201 for answer in answers) > 20
            await taken(cluster.all[1])
            await clear_services(cluster)
            assert not (await taken(cluster.all[2]))[1], "what is deleted is free"

    loop.run(test())


def test_an_address_that_was_asked_for_is_given_once(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        for spec in ({"clusterIP": "10.96.0.40"}, {"type": "NodePort", "node_port": 31_000}):
            answers = await asyncio.gather(
                *(
                    cluster.all[number % 3].json("POST", SERVICES, service(f"same-{number}", **spec))
                    for number in range(9)
                )
            )
            assert sorted(answer.code for answer in answers) == [201] + [422] * 8
            refused = next(answer.body for answer in answers if answer.code == 422)
            assert "already allocated" in refused["message"]
            field = "spec.clusterIPs" if "clusterIP" in spec else "spec.ports[0].nodePort"
            assert refused["details"]["causes"][0]["field"] == field
            await taken(cluster.all[0])
            await clear_services(cluster)

    loop.run(test())


@pytest.mark.parametrize("address", ["10.96.0.0", "10.96.0.63", "10.97.0.1", "10.96.0.1"])
def test_addresses_that_nobody_may_have_are_refused(loop: LoopOf, cluster: ApiCluster, address: str) -> None:
    """Those at the ends, those outside, and the API's own."""

    async def test() -> None:
        answer = await cluster.all[0].json("POST", SERVICES, service("refused", clusterIP=address))
        assert answer.code == 422
        assert answer.body["details"]["causes"][0]["field"] == "spec.clusterIPs"

    loop.run(test())


def test_what_is_given_up_is_free_at_once_on_every_replica(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        one, two, three = cluster.all
        for number in range(12):
            asked = {"type": "NodePort", "clusterIP": "10.96.0.41", "node_port": 31_001}
            await one.create(SERVICES, service(f"first-{number}", **asked))
            if number % 2:
                change: dict[str, Any] = {"spec": {"type": "ExternalName", "externalName": "a.example"}}
                answer = await two.json("PATCH", f"{SERVICES}/first-{number}", change, headers=MERGE)
                assert answer.code == 200, answer
                assert "clusterIP" not in answer.body["spec"]
            else:
                assert (await two.json("DELETE", f"{SERVICES}/first-{number}")).code == 200
            again = await three.json("POST", SERVICES, service(f"second-{number}", **asked))
            assert again.code == 201, again
            await taken(one)
            await clear_services(cluster)

    loop.run(test())


def test_a_service_keeps_what_it_has_and_an_equal_update_writes_nothing(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        one, two, _ = cluster.all
        body = service("kept", type="NodePort")
        made = await one.create(SERVICES, body)
        again = await two.json("PUT", f"{SERVICES}/kept", body)
        assert again.body == made
        to_cluster_ip = {**body, "spec": {**body["spec"], "type": "ClusterIP"}}
        changed = (await two.json("PUT", f"{SERVICES}/kept", to_cluster_ip)).body
        assert changed["spec"]["clusterIP"] == made["spec"]["clusterIP"]
        assert "nodePort" not in changed["spec"]["ports"][0]
        assert not (await taken(one))[1]
        await one.json("POST", f"{SERVICES}?dryRun=All", service("dry", type="NodePort"))
        assert not (await taken(one))[1]
        await clear_services(cluster)

    loop.run(test())


# --- namespaces -------------------------------------------------------------------------------------------


async def until_refused(attempt: Callable[[], Awaitable[Answered]]) -> list[Answered]:
    """Ask again and again until the answer is no; all answers."""
    answers = [await attempt()]
    while answers[-1].code == 201:
        answers.append(await attempt())
    return answers


def test_nothing_is_created_in_a_namespace_that_goes_away(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        for number in range(12):
            name = f"going-{number}"
            await cluster.all[0].create("/api/v1/namespaces", {"metadata": {"name": name}})

            def create(api: RunningApi, name: str = name) -> Any:
                return api.json("POST", MAPS.format(name), {"metadata": {"generateName": "m-"}})

            writing = [until_refused(partial(create, api)) for api in cluster.all for _ in range(2)]
            going = asyncio.create_task(cluster.all[number % 3].json("DELETE", f"/api/v1/namespaces/{name}"))
            answers = await asyncio.gather(*writing)
            gone = await going
            assert gone.body["status"]["phase"] == "Terminating"
            for *created, refused in answers:
                assert all(version_of(answer.body) < version_of(gone.body) for answer in created)
                assert (refused.code, refused.body["reason"]) == (403, "Forbidden"), refused
                assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"

    loop.run(test())


def test_a_namespace_can_be_used_again_at_once_on_every_replica(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        one, two, three = cluster.all
        for _ in range(15):
            await one.create("/api/v1/namespaces", {"metadata": {"name": "again"}})
            assert (await two.json("POST", MAPS.format("again"), {"metadata": {"name": "m"}})).code == 201
            await three.json("DELETE", f"{MAPS.format('again')}/m")
            gone = (await one.json("DELETE", "/api/v1/namespaces/again")).body
            assert (await two.json("POST", MAPS.format("again"), {"metadata": {"name": "m"}})).code == 403
            gone["spec"]["finalizers"] = []
            done = await one.json("PUT", "/api/v1/namespaces/again/finalize", gone)
            assert done.code == 200, done
            assert (await three.json("GET", "/api/v1/namespaces/again")).code == 404
            missing = await two.json("POST", MAPS.format("again"), {"metadata": {"name": "m"}})
            assert (missing.code, missing.body["reason"]) == (404, "NotFound")

    loop.run(test())


def test_a_namespace_comes_with_its_account_and_its_root_certificate(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        made = await cluster.all[0].create("/api/v1/namespaces", {"metadata": {"name": "furnished"}})
        account = (await cluster.all[1].json("GET", "/api/v1/namespaces/furnished/serviceaccounts/default")).body
        root = (await cluster.all[2].json("GET", f"{MAPS.format('furnished')}/kube-root-ca.crt")).body
        assert version_of(account) == version_of(root) == version_of(made)
        assert root["data"]["ca.crt"] == cluster.all[0].ca_file.read_text()

    loop.run(test())


# --- fences -----------------------------------------------------------------------------------------------


def lease(name: str, holder: str | None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, **spec}}


async def held_by(api: RunningApi, name: str, holder: str | None, **spec: Any) -> Any:
    answer = await api.json("PATCH", f"{LEASES}/{name}", lease(name, holder, **spec), headers=MERGE)
    if answer.code == 404:
        answer = await api.json("POST", LEASES, lease(name, holder, **spec))
    assert answer.code in (200, 201), answer
    return answer.body


def fence(name: str, transitions: int) -> dict[str, str]:
    return {"X-Kmini-Fence": f"default/{name}/{transitions}"}


async def write(api: RunningApi, headers: dict[str, str]) -> Answered:
    body = {"metadata": {"name": f"fenced-{next(_numbers)}"}}
    return await api.json("POST", MAPS.format("default"), body, headers=headers)


def check_fenced(answer: Answered) -> None:
    assert (answer.code, answer.body["reason"]) == (409, "Fenced"), answer
    assert answer.body["details"]["kind"] == "leases"


def test_a_deposed_leader_writes_nothing(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        one, two, three = cluster.all
        first = (await held_by(one, "deposed", "a"))["spec"]["leaseTransitions"]
        assert (await write(two, fence("deposed", first))).code == 201
        second = (await held_by(three, "deposed", "b"))["spec"]["leaseTransitions"]
        assert second > first
        before = (await one.json("GET", MAPS.format("default"))).body
        names = [each["metadata"]["name"] for each in before["items"]]
        some = f"{MAPS.format('default')}/{names[0]}"
        for api in cluster.all:
            check_fenced(await write(api, fence("deposed", first)))
            check_fenced(await api.json("DELETE", some, headers=fence("deposed", first)))
            change = {"data": {"x": "y"}}
            check_fenced(await api.json("PATCH", some, change, headers={**MERGE, **fence("deposed", first)}))
        assert (await one.json("GET", MAPS.format("default"))).body["items"] == before["items"]
        assert (await write(one, fence("deposed", second))).code == 201
        check_fenced(await write(one, fence("never-held", 0)))

    loop.run(test())


def test_writes_under_way_fail_when_the_holder_changes(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        for number in range(12):
            held = await held_by(cluster.all[0], "moving", f"a{number}")
            headers = fence("moving", held["spec"]["leaseTransitions"])
            writing = [until_refused(partial(write, api, headers)) for api in cluster.all for _ in range(2)]
            moving = asyncio.create_task(held_by(cluster.all[number % 3], "moving", f"b{number}"))
            answers = await asyncio.gather(*writing)
            moved = await moving
            for *done, refused in answers:
                assert all(version_of(answer.body) < version_of(moved) for answer in done)
                check_fenced(refused)

    loop.run(test())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.sampled_from(("a", "b")), st.integers(0, 3)),
        st.tuples(st.just("release"), st.just(""), st.integers(0, 3)),
        st.tuples(st.just("delete"), st.just(""), st.just(0)),
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=30)
@given(STEPS)
def test_no_number_of_transitions_comes_back(loop: LoopOf, cluster: ApiCluster, steps: list[Any]) -> None:
    """Whatever clients write, and also when the Lease is released or deleted in between."""

    async def test() -> None:
        name = f"grows-{next(_numbers)}"
        holder, seen = "", -1
        for step, who, claimed in steps:
            api = cluster.all[next(_numbers) % 3]
            if step == "delete":
                await api.json("DELETE", f"{LEASES}/{name}")
                holder = ""
            elif step == "release":
                await held_by(api, name, None, leaseTransitions=claimed)
                holder = ""
            else:
                number = (await held_by(api, name, who, leaseTransitions=claimed))["spec"]["leaseTransitions"]
                assert number == seen if who == holder else number > seen
                holder, seen = who, number
            answer = await write(api, fence(name, max(seen, 0)))
            if holder:
                assert answer.code == 201, answer
            else:
                check_fenced(answer)

    loop.run(test())


# --- certificates -----------------------------------------------------------------------------------------


def signing_request(name: str, common_name: str, signer: str, *usages: str) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    text = base64.b64encode(csr.public_bytes(serialization.Encoding.PEM)).decode()
    spec = {"request": text, "signerName": f"kubernetes.io/{signer}", "usages": list(usages), "username": "somebody"}
    return {"metadata": {"name": name}, "spec": spec}


def approved(body: dict[str, Any]) -> dict[str, Any]:
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": "by a test"}
    return {**body, "status": {**body.get("status", {}), "conditions": [condition]}}


def test_an_approved_request_is_signed_and_one_that_breaks_rules_fails(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        one, two, _ = cluster.all
        asked = signing_request("good", "ann", "kube-apiserver-client", "client auth", "digital signature")
        made = await one.create(REQUESTS, asked)
        assert made["spec"]["username"] == "kmini-admin"
        assert "system:masters" in made["spec"]["groups"]
        done = await two.json("PUT", f"{REQUESTS}/good/approval", approved(made))
        assert done.code == 200, done
        pem = base64.b64decode(done.body["status"]["certificate"])
        certificate = x509.load_pem_x509_certificate(pem)
        authority = x509.load_pem_x509_certificate(one.ca_file.read_bytes())
        certificate.verify_directly_issued_by(authority)
        assert certificate.subject.rfc4514_string() == "CN=ann"

        made = await one.create(REQUESTS, signing_request("bad", "ann", "kube-apiserver-client", "server auth"))
        done = await two.json("PUT", f"{REQUESTS}/bad/approval", approved(made))
        conditions = {each["type"]: each for each in done.body["status"]["conditions"]}
        assert set(conditions) == {"Approved", "Failed"}
        assert "usages" in conditions["Failed"]["message"]
        assert not done.body["status"].get("certificate")

    loop.run(test())
