"""Deployment: moves its ReplicaSets towards one that has all the pods, of the newest template, within its bounds.

One step at a time: look at what is there, decide on sizes (rolling.py, recreate.py, scaling.py: no I/O), write them,
say in the status how it stands. Every step is safe to be done twice, and to be the last one before a crash: the next
look finds what was written and goes on from there. What must hold is said in view.py and unseen.py: sizes are decided
only from states in which all our earlier writes can be seen, taken for the worst.
"""

from __future__ import annotations

import logging

from apiserver.api.apps import Deployment, DeploymentStatus, ReplicaSet
from apiserver.api.core.pod import Pod
from apiserver.api.errors import AlreadyExists, ApiError, Fenced
from apiserver.api.selectors import Labels, from_label_selector
from controlplane.controllers.claims import ORPHANS, Claims, Found, orphans
from controlplane.controllers.writes import difference, seen
from controlplane.runtime import DONE, Context, Request, Result
from controlplane.runtime.caches import BY_CONTROLLER

from . import recreate, rolling, scaling
from .conditions import NOT_CREATED, PROGRESSING, Said, put
from .progress import next_look_s, rollout_status
from .revisions import REVISION, annotations_of_new, new_replica_set, next_revision, revision_of, to_forget, view_of
from .rolling import Sizes
from .sizes import ROLLING_UPDATE
from .status import has_deadline, is_complete, status_of
from .unseen import LOOK_AFTER_S
from .view import View
from .writes import Collision, ReplicaSetWriter, Wish

log = logging.getLogger("controlplane.deployment")


class DeploymentReconciler:
    """One for a term of leadership."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._deployments = context.caches.deployments.cache
        self._replica_sets = context.caches.replica_sets.cache
        self._pods = context.caches.pods.cache
        context.caches.replica_sets.add_index(ORPHANS, orphans)
        self._writer = ReplicaSetWriter(context)

    async def reconcile(self, request: Request) -> Result:
        """Raises ApiError."""
        unseen = self._writer.unseen
        if self._deployments.get(request.name, namespace=request.namespace) is None:
            unseen.forget(request)
            return DONE
        if not await unseen.is_clear(request):
            return Result(requeue_after_s=LOOK_AFTER_S)
        # both from one moment, with no wait in between
        deployment = self._deployments.get(request.name, namespace=request.namespace)
        if deployment is None:
            return DONE
        try:
            selector = from_label_selector(deployment.spec.selector)
        except ValueError as error:
            log.warning("a selector cannot be read", extra={"about": str(request), "error": str(error)})
            return DONE
        view = view_of(deployment, await self._claim(deployment, selector))
        if deployment.metadata.deletion_timestamp is not None:
            await self._write_status(view, status_of(view, self._context.clock.now_text()))
            return DONE
        if deployment.spec.paused or (scaling.is_scaled(view) and scaling.can_scale(view)):
            return await self._scale(view)
        return await self._roll_out(view)

    async def _claim(self, deployment: Deployment, selector: Labels) -> list[ReplicaSet]:
        """Raises ApiError."""
        meta = deployment.metadata
        owned = self._replica_sets.by_index(BY_CONTROLLER, meta.uid)
        free = self._replica_sets.by_index(ORPHANS, meta.namespace)
        claims = Claims(self._context.client, self._context.pace, deployment, selector, ReplicaSet)
        return await claims.settle(Found(owned, free))

    # --- the two ways ---------------------------------------------------------------------------------

    async def _scale(self, view: View) -> Result:
        """Paused, or another number is wished for: no pod gives way to a newer one. Raises ApiError."""
        sizes = scaling.next_sizes(view, self._pods_of)
        view = await self._change(view, sizes or {}, noted=True)
        status = status_of(view, self._context.clock.now_text())
        await self._write_status(view, status)
        if view.deployment.spec.paused:
            await self._forget_old(view)
        return DONE

    async def _roll_out(self, view: View) -> Result:
        """Raises ApiError."""
        created = False
        if view.new is None:
            view, created = await self._create_new(view)
        else:
            view = await self._change(view, self._next_sizes(view))
        status = rollout_status(view, self._context.clock, created=created)
        await self._write_status(view, status)
        if is_complete(view, status):
            await self._forget_old(view)
        after_s = next_look_s(view, status, self._context.clock)
        return DONE if after_s is None else Result(requeue_after_s=after_s)

    def _next_sizes(self, view: View) -> Sizes:
        if view.deployment.spec.strategy.type == ROLLING_UPDATE:
            return rolling.next_sizes(view)
        return recreate.next_sizes(view, self._pods_of)

    def _pods_of(self, found: ReplicaSet) -> list[Pod]:
        return self._pods.by_index(BY_CONTROLLER, found.metadata.uid)

    # --- writes ---------------------------------------------------------------------------------------

    async def _change(self, view: View, sizes: Sizes, *, noted: bool = False) -> View:
        """Bring the ReplicaSets to their sizes, and the new one's annotations up to date, with one write for each.

        `noted`: those that keep their size are told for which wished number. Raises ApiError.
        """
        changed = {}
        notes = scaling.notes(view)
        for found in view.all:
            await self._context.pace.breathe()
            name = found.metadata.name
            wish = Wish(replicas=sizes.get(name))
            if name in sizes and (noted or sizes[name] != found.spec.replicas):
                wish.annotations = dict(notes)
            if found is view.new:
                wish.annotations = annotations_of_new(view) | wish.annotations
                wish.min_ready_seconds = view.deployment.spec.min_ready_seconds
            changed[name] = await self._writer.change(view.deployment, found, wish)
        new = None if view.new is None else changed[view.new.metadata.name]
        deployment = view.deployment if new is None else await self._note_revision(view.deployment, revision_of(new))
        return View(deployment, new, [changed[each.metadata.name] for each in view.old])

    async def _create_new(self, view: View) -> tuple[View, bool]:
        """With a ReplicaSet of the newest template, and whether it was made just now. Raises ApiError."""
        if view.deployment.spec.strategy.type == ROLLING_UPDATE:
            replicas = rolling.size_of_new(view)
        else:
            sizes = self._next_sizes(view)
            if sizes or recreate.pods_run(view.old, self._pods_of):
                return await self._change(view, sizes), False
            replicas = view.replicas
        wanted = new_replica_set(view, replicas)
        try:
            made, created = await self._writer.create(view.deployment, wanted)
        except Collision:
            await self._note_collision(view.deployment)
            raise AlreadyExists(f"the name {wanted.metadata.name} is taken by another ReplicaSet") from None
        except Fenced:
            raise
        except ApiError as error:
            if error.definite:
                await self._say_not_created(view, wanted.metadata.name, error)
            raise
        if made is None:
            return view, False
        deployment = await self._note_revision(view.deployment, next_revision(view))
        return View(deployment, made, view.old), created

    async def _forget_old(self, view: View) -> None:
        """Raises ApiError."""
        for found in to_forget(view):
            await self._context.pace.breathe()
            await self._writer.delete(found)

    # --- the Deployment itself ------------------------------------------------------------------------

    async def _note_revision(self, deployment: Deployment, revision: int) -> Deployment:
        if deployment.metadata.annotations.get(REVISION) == str(revision):
            return deployment
        metadata = {**seen(deployment), "annotations": {REVISION: str(revision)}}
        meta = deployment.metadata
        return await self._context.client.patch(Deployment, meta.name, {"metadata": metadata}, namespace=meta.namespace)

    async def _note_collision(self, deployment: Deployment) -> None:
        await self._patch_status(deployment, {"collisionCount": (deployment.status.collision_count or 0) + 1})

    async def _say_not_created(self, view: View, name: str, error: ApiError) -> None:
        message = f'Failed to create new replica set "{name}": {error.message}'
        self._writer.not_created(view.deployment, message)
        now = self._context.clock.now_text()
        status = status_of(view, now)
        if has_deadline(view):
            said = Said(type=PROGRESSING, status="False", reason=NOT_CREATED, message=message, at=now)
            status.conditions = put(status.conditions, said)
        await self._write_status(view, status)

    async def _write_status(self, view: View, status: DeploymentStatus) -> None:
        """Only when something changed."""
        patch = difference(view.deployment.status, status)
        if patch:
            await self._patch_status(view.deployment, patch)

    async def _patch_status(self, deployment: Deployment, patch: dict[str, object]) -> None:
        """Raises Conflict when the Deployment is not what was looked at any more."""
        body = {"metadata": seen(deployment), "status": patch}
        meta = deployment.metadata
        await self._context.client.patch(Deployment, meta.name, body, namespace=meta.namespace, subresource="status")
