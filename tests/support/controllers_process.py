"""`kmini controllers` as real processes beside a server, and what tests ask of the API meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from kmini_process import Server, environment

from apiserver.client import Client

T = TypeVar("T")


class ControllersProcess:
    """One candidate. `with` ends it, whatever its state."""

    def __init__(self, server: Server, name: str, folder: Path, *extra: str) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._config = folder / f"{name}.kubeconfig"
        self._config.write_text(json.dumps(_kubeconfig(server)))
        self._extra = extra
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ControllersProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)

    def start(self) -> None:
        command = ["controllers", "--kubeconfig", str(self._config), "--name", self.name, *self._extra]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kmini", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment(),
            )

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> int:
        self.send(signal.SIGTERM)
        assert self.process is not None
        return self.process.wait(60)

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it said, but for a line that is being written."""
        lines = self._log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def said(self, message: str) -> bool:
        return any(message in line["message"] for line in self.log)


def _kubeconfig(server: Server) -> dict[str, Any]:
    """With the certificate that a server makes for its own controllers."""
    cluster = {"server": f"https://127.0.0.1:{server.api_port}", "certificate-authority": str(server.pki / "ca.crt")}
    user = {
        "client-certificate": str(server.pki / "controllers.crt"),
        "client-key": str(server.pki / "controllers.key"),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


def with_admin(server: Server, work: Callable[[Client], Awaitable[T]], *, servers: tuple[str, ...] = ()) -> T:
    """Run it with a client of the admin's."""

    async def body() -> T:
        config = server.data_dir / "kubeconfig"
        async with Client.from_kubeconfig(config, learn=False, servers=servers) as client:
            return await work(client)

    return asyncio.run(body())


async def until(
    condition: Callable[[], Awaitable[Any]], *, timeout_s: float = 60.0, what: str = "the condition"
) -> Any:
    """Its first truthy value, asked for again and again."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                found = await condition()
                if found:
                    return found
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true within {timeout_s:g} s") from None
