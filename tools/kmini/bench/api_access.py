"""An API server as the loads see it, and the few requests by hand that prepare and check them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from .api_pods import ACCOUNT, CLIENTS, NAMESPACE, NAMESPACES, pod, pod_name, pods_path
from .side import WorkNotDone

_TOKEN_S = 6 * 3600
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_RETRY_S = 0.1
_RETRIES = 100


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """`base` is https://127.0.0.1:port; `authority` signs its certificate."""

    base: str
    authority: Path
    token: str

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def __repr__(self) -> str:
        return f"Access({self.base})"


class Hands:
    """Requests one by one, as an admin or with the load's token. Raises WorkNotDone for an answer that is none."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def send(self, method: str, path: str, body: Any = None, *, also: tuple[int, ...] = ()) -> Any:
        """The answer's JSON. `also`: further codes that are no failure."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        async with self._session.request(method, self._base + path, data=data, headers=headers) as response:
            answer = await response.read()
            if response.status >= 300 and response.status not in also:
                raise WorkNotDone(f"{method} {path}: {response.status} {answer[:300]!r}")
            return json.loads(answer) if answer[:1] == b"{" else answer

    async def count(self, namespace: str) -> int:
        """Pods of a namespace."""
        listed = await self.send("GET", f"{pods_path(namespace)}?limit=1")
        return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount") or 0)


@asynccontextmanager
async def hands(
    base: str, authority: Path, *, token: str = "", certificate: tuple[Path, Path] | None = None
) -> AsyncIterator[Hands]:
    """As whoever has the token or the certificate and its key."""
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(*certificate)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = aiohttp.TCPConnector(ssl=context, limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=_TIMEOUT) as session:
        yield Hands(session, base)


async def prepare(admin: Hands, *, many: int, few: tuple[str, int], filled: str) -> str:
    """Namespaces, an account with the rights the loads need, and the pods to read. Returns the account's token."""
    for name in NAMESPACES:
        await admin.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, also=(409,))
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    await admin.send("POST", accounts, {"metadata": {"name": ACCOUNT}}, also=(409,))
    rights = "/apis/rbac.authorization.k8s.io/v1"
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]}
    named = {"metadata": {"name": "kmini-bench"}}
    await admin.send("POST", f"{rights}/clusterroles", {**named, "rules": [rule]}, also=(409,))
    binding = {
        **named,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "kmini-bench"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    await admin.send("POST", f"{rights}/clusterrolebindings", binding, also=(409,))
    await _default_accounts(admin)
    await fill(admin, filled, many)
    await fill(admin, *few)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": _TOKEN_S}}
    return str((await admin.send("POST", f"{accounts}/{ACCOUNT}/token", asked))["status"]["token"])


async def _default_accounts(admin: Hands) -> None:
    """Every namespace has its default account, which pods need; where no controller makes it, it is made here."""
    for name in NAMESPACES:
        await admin.send(
            "POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}}, also=(409,)
        )


async def fill(admin: Hands, namespace: str, count: int) -> None:
    """So many pods, 64 at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await _created(admin, namespace, pod_name(number))

    await asyncio.gather(*(work() for _ in range(CLIENTS)))


async def _created(admin: Hands, namespace: str, name: str) -> None:
    await admin.send("POST", pods_path(namespace), pod(name))


async def allowed(load: Hands) -> None:
    """Return once the server knows the account's rights. Raises WorkNotDone after a while."""
    for _ in range(_RETRIES):
        try:
            await load.send("GET", f"{pods_path(NAMESPACE)}?limit=1")
        except WorkNotDone:
            await asyncio.sleep(_RETRY_S)
        else:
            return
    await load.send("GET", f"{pods_path(NAMESPACE)}?limit=1")
