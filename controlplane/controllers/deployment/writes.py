"""Writing ReplicaSets: created under a name that says what they are, changed only as they were looked at."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.errors import AlreadyExists, ApiError, Fenced, NotFound
from controlplane.controllers.claims import controller_of
from controlplane.controllers.writes import namespace_is_ending, seen, this_version
from controlplane.runtime import Context, Request

from .conditions import NOT_CREATED
from .template_hash import same_template
from .unseen import Unseen
from .view import size

COMPONENT = "deployment-controller"


class Wish(msgspec.Struct):
    """What is to change of a ReplicaSet."""

    annotations: dict[str, str] = {}
    replicas: int | None = None
    min_ready_seconds: int | None = None

    def patch(self, found: ReplicaSet) -> dict[str, Any]:
        """A merge patch of just what differs; empty when nothing does."""
        metadata: dict[str, Any] = {}
        spec: dict[str, Any] = {}
        present = found.metadata.annotations
        annotations = {key: value for key, value in self.annotations.items() if present.get(key) != value}
        if annotations:
            metadata["annotations"] = annotations
        if self.replicas is not None and self.replicas != size(found):
            spec["replicas"] = self.replicas
        if self.min_ready_seconds is not None and self.min_ready_seconds != found.spec.min_ready_seconds:
            spec["minReadySeconds"] = self.min_ready_seconds
        if not metadata and not spec:
            return {}
        return {"metadata": metadata | seen(found), **({"spec": spec} if spec else {})}


class Collision(Exception):
    """Another ReplicaSet has the name of the new one: the name must be chosen anew."""


class ReplicaSetWriter:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self.unseen = Unseen(context.client, context.caches.replica_sets.cache, context.clock.monotonic)

    async def change(self, deployment: Deployment, found: ReplicaSet, wish: Wish) -> ReplicaSet:
        """The ReplicaSet as it is then. Raises Conflict when it is not what was looked at any more."""
        patch = wish.patch(found)
        if not patch:
            return found
        request, meta = Request.of(deployment), found.metadata
        self.unseen.replaces(request, found)
        try:
            changed = await self._client.patch(ReplicaSet, meta.name, patch, namespace=meta.namespace)
        except ApiError as error:
            if error.definite:
                self.unseen.failed(request, meta.name)
            raise
        self.unseen.done(request, meta.name)
        if "spec" in patch and "replicas" in patch["spec"]:
            self._scaled(deployment, meta.name, size(found), size(changed))
        return changed

    async def create(self, deployment: Deployment, wanted: ReplicaSet) -> tuple[ReplicaSet | None, bool]:
        """The ReplicaSet, and whether it was made just now: it may have been there, made by a write whose answer was
        lost. None while the namespace goes away. Raises Collision, ApiError."""
        request, meta = Request.of(deployment), wanted.metadata
        self.unseen.creates(request, meta.name)
        try:
            made = await self._client.create(wanted)
        except Fenced:
            raise
        except AlreadyExists:
            found = await self._client.get(ReplicaSet, meta.name, namespace=meta.namespace)
            if not _is_ours(deployment, found):
                self.unseen.failed(request, meta.name)
                raise Collision from None
            self.unseen.done(request, meta.name)
            return found, False
        except ApiError as error:
            if error.definite:
                self.unseen.failed(request, meta.name)
            if namespace_is_ending(error):
                return None, False
            raise
        self.unseen.done(request, meta.name)
        if size(made) > 0:
            self._scaled(deployment, meta.name, 0, size(made))
        return made, True

    async def delete(self, found: ReplicaSet) -> None:
        """Raises Conflict when it is not what was looked at any more."""
        meta = found.metadata
        try:
            await self._client.delete(ReplicaSet, meta.name, namespace=meta.namespace, options=this_version(found))
        except NotFound:
            return  # the cache has yet to show it

    def not_created(self, deployment: Deployment, message: str) -> None:
        self._event(deployment, "Warning", NOT_CREATED, message)

    def _scaled(self, deployment: Deployment, name: str, before: int, after: int) -> None:
        way = "up" if before < after else "down"
        message = f"Scaled {way} replica set {name} from {before} to {after}"
        self._event(deployment, "Normal", "ScalingReplicaSet", message)

    def _event(self, deployment: Deployment, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._recorder.event(deployment, type_, reason, message, component=COMPONENT)


def _is_ours(deployment: Deployment, found: ReplicaSet) -> bool:
    controller = controller_of(found)
    return (
        controller is not None
        and controller.uid == deployment.metadata.uid
        and same_template(found.spec.template, deployment.spec.template)
    )
