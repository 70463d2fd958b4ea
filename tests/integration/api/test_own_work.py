"""What a server does and shows by itself: OpenID documents, rules of aggregated roles, health, its start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import jwt
from api_server import ADMIN, RunningApi, api_server

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
PATIENCE = 600


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(PATIENCE):
        if await holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come to hold")


def test_others_can_verify_a_service_accounts_token(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        request = {"spec": {"audiences": ["vault"], "expirationSeconds": 600}}
        issued = await api.create(f"{accounts}/default/token", request)
        configuration = (await api.json("GET", "/.well-known/openid-configuration")).body
        keys = await api.json("GET", "/openid/v1/jwks")
        assert keys.headers["Content-Type"] == "application/jwk-set+json"
        assert configuration["jwks_uri"] == f"{api.url}/openid/v1/jwks"
        token = issued["status"]["token"]
        key = next(key for key in keys.body["keys"] if key["kid"] == jwt.get_unverified_header(token)["kid"])
        claims = jwt.decode(
            token, jwt.PyJWK(key), algorithms=["ES256"], audience="vault", issuer=configuration["issuer"]
        )
        assert claims["sub"] == "system:serviceaccount:default:default"
        assert (await api.json("GET", "/openid/v1/jwks", user="nobody-in-particular")).code == 403

    run(tmp_path, test)


def test_an_aggregated_role_shows_what_it_collects(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        rule = {"apiGroups": ["example.org"], "resources": ["widgets"], "verbs": ["get"]}
        labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
        await api.create(ROLES, {"metadata": {"name": "widgets-view", "labels": labels}, "rules": [rule]})

        async def shown() -> bool:
            return rule in (await api.json("GET", f"{ROLES}/view")).body["rules"]

        async def gone() -> bool:
            return not await shown()

        await eventually(shown)
        await api.json("DELETE", f"{ROLES}/widgets-view")
        await eventually(gone)

    run(tmp_path, test)


def test_health_is_everybodys_and_numbers_are_not(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        for path in ("/livez", "/readyz", "/healthz", "/readyz/bootstrap", "/version"):
            user = "" if path.count("/") == 1 else ADMIN
            assert (await api.json("GET", path, user=user)).code == 200, path
        verbose = await api.json("GET", "/readyz?verbose", user="")
        assert b"[+]leader ok" in verbose.body
        for path in ("/metrics", "/debug/status", "/debug/boot"):
            assert (await api.json("GET", path, user="")).code == 403, path
            assert (await api.json("GET", path)).code == 200, path
        metrics = (await api.json("GET", "/metrics")).body.decode()
        assert "apiserver_request_duration_seconds_bucket" in metrics
        assert "kmini_store_revision" in metrics
        boot = (await api.json("GET", "/debug/boot")).body
        assert list(boot.values()) == sorted(boot.values())

    run(tmp_path, test)
