"""What a test holds in its hands: the session's control plane, seen from a namespace of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from apiserver.api.core.namespace import Namespace
from apiserver.api.meta import ObjectMeta
from apiserver.client import Client
from kmini.dev.control_plane import ControlPlane


class Kmini:
    """Made by the fixture. `folder` is the test's; the namespace's name is `prefix` and some characters more."""

    def __init__(self, plane: ControlPlane, folder: Path, *, prefix: str) -> None:
        self.control_plane = plane
        self.namespace = ""
        self.kubeconfig = folder / "kubeconfig"
        self._prefix = prefix

    def __enter__(self) -> Self:
        plane = self.control_plane
        self.namespace = plane.call(_make_namespace(plane, self._prefix))
        plane.write_kubeconfig(self.kubeconfig, namespace=self.namespace)
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()

    @property
    def client(self) -> Client:
        """A new client in the test's namespace, the admin's: `async with kmini.client as client:`."""
        return self.make_client()

    def make_client(self, **settings: Any) -> Client:
        """The same with settings of Client's constructor."""
        servers = settings.pop("servers", list(self.servers.values()))
        return Client.from_kubeconfig(self.kubeconfig, servers=servers, **({"learn": False} | settings))

    @property
    def servers(self) -> dict[str, str]:
        """Name of the replica → URL."""
        return self.control_plane.servers

    @property
    def leader(self) -> str:
        return self.control_plane.leader

    def partition(self, *names: str) -> tuple[str, ...]:
        """See ControlPlane.partition."""
        return self.control_plane.partition(*names)

    def cut(self, sender: str, receiver: str) -> None:
        self.control_plane.cut(sender, receiver)

    def pause(self, *names: str) -> None:
        self.control_plane.pause(*names)

    def heal(self) -> None:
        self.control_plane.heal()


async def _make_namespace(plane: ControlPlane, prefix: str) -> str:
    async with Client.from_kubeconfig(plane.kubeconfig, servers=list(plane.servers.values()), learn=False) as client:
        made = await client.create(Namespace(metadata=ObjectMeta(generate_name=prefix)))
    return made.metadata.name
