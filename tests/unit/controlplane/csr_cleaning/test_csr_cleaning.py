"""Certificate requests go an hour after they are decided, a day after they are forgotten, or with their certificate."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import virtual_time
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import made
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from apiserver.api.certificates import CertificateSigningRequest
from controlplane.controllers.csr_cleaning import parts

SETTINGS: dict[str, Any] = {"parts": [parts], "binds": False}
EPOCH = datetime.datetime.fromtimestamp(virtual_time.EPOCH_S, datetime.UTC)


def moment(after_s: float) -> str:
    return (EPOCH + datetime.timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def request(name: str, *decided: str, at_s: float = 0.0, certificate: str = "") -> CertificateSigningRequest:
    conditions = [{"type": each, "status": "True", "lastUpdateTime": moment(at_s)} for each in decided]
    return made(
        CertificateSigningRequest,
        name,
        {"creationTimestamp": moment(at_s)},
        spec={"signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
        status={"conditions": conditions, "certificate": certificate},
    )


def certificate(ends_s: float) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one")])
    made_now = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    valid = made_now.serial_number(1).not_valid_before(EPOCH - datetime.timedelta(days=1))
    signed = valid.not_valid_after(EPOCH + datetime.timedelta(seconds=ends_s)).sign(key, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(Encoding.PEM)).decode()


def names(world: World) -> set[str]:
    return {each.metadata.name for each in world.api.objects(CertificateSigningRequest)}


def test_which_go_and_when() -> None:
    async def body(world: World) -> None:
        world.put(request("approved", "Approved"), request("denied", "Denied"), request("failed", "Approved", "Failed"))
        world.put(request("pending"), request("odd", "Approved", at_s=50_000, certificate="bm8="))
        world.put(request("over", "Approved", at_s=50_000, certificate=certificate(5_000)))
        world.put(request("good", "Approved", at_s=50_000, certificate=certificate(90_000)))
        await world.sleep(3400)
        assert len(names(world)) == 7
        await world.sleep(4000)
        assert names(world) == {"pending", "odd", "good"}
        await world.sleep(50_000)
        assert names(world) == {"pending"}
        await world.sleep(28_500)
        assert names(world) == {"pending"}
        await world.sleep(5_000)
        assert names(world) == set()

    run_world(body, limit_s=200_000, **SETTINGS)


def test_a_request_without_certificate_and_without_decision_is_not_parsed() -> None:
    async def body(world: World) -> None:
        world.put(request("pending", certificate=certificate(5_000)))
        await world.sleep(8_000)
        assert names(world) == {"pending"}

    run_world(body, **SETTINGS)


@seeds(20)
def test_in_the_end_all_are_gone_whatever_goes_wrong(seed: int) -> None:
    async def body(world: World) -> None:
        world.put(*(request(f"one-{number}", "Denied") for number in range(5)), request("pending"))
        for _ in range(3):
            await world.sleep(3000)
            world.crash_after(1)
        world.api.heal()
        await world.sleep(8000)
        assert names(world) == {"pending"}

    run_world(body, seed=seed, faults=stormy(seed), **SETTINGS)


def test_one_that_may_not_be_deleted_keeps_none_of_the_others() -> None:
    async def body(world: World) -> None:
        world.api.denied.add("/certificatesigningrequests/b")
        world.put(*(request(name, "Denied") for name in "abc"))
        await world.sleep(8000)
        assert names(world) == {"b"}

    run_world(body, limit_s=200_000, **SETTINGS)
