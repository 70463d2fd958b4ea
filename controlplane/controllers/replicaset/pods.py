"""Creating and deleting the pods of a ReplicaSet, so that each write counts once.

The name of a pod is chosen here and not by the server: a creation without an answer can then be tried again, and there
is still one pod. Names look as if the server had made them from `generateName`.
"""

from __future__ import annotations

from typing import Literal

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.pod import Pod
from apiserver.api.errors import AlreadyExists, ApiError, Conflict, Fenced, NotFound
from apiserver.api.meta import DeleteOptions, ObjectMeta, Preconditions
from controlplane.controllers.claims import controller_of, reference_to
from controlplane.controllers.writes import namespace_is_ending
from controlplane.runtime import Context

from .batches import at_once, slow_start
from .expectations import Awaited, Expectations

COMPONENT = "replicaset-controller"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, so that no word comes out
_RANDOM_CHARACTERS = 5
_PREFIX_CHARACTERS_MAX = 58  # a pod's name is its host's name, which is a label of at most 63


class PodWriter:
    """Notes what it writes in the Expectations of the ReplicaSet it writes for."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._cache = context.caches.pods.cache
        self._recorder = context.recorder
        self._random = context.random

    async def create(self, owner: ReplicaSet, count: int, expectations: Expectations) -> ApiError | None:
        """The first failure, if there was one. Raises Fenced."""

        async def write(name: str) -> None:
            await self._create(owner, name, expectations)

        names = (self._new_name(owner, expectations) for _ in range(count))
        return await slow_start(names, write)

    async def delete(self, owner: ReplicaSet, pods: list[Pod], expectations: Expectations) -> ApiError | None:
        """The first failure, if there was one. Raises Fenced."""

        async def write(pod: Pod) -> None:
            expectations.expect_deletion(pod)
            await self._delete(owner, pod.metadata.name, pod.metadata.uid, expectations)

        return await at_once(pods, write)

    async def settle(self, owner: ReplicaSet, expectations: Expectations, *, seen: int) -> None:
        """Write again what has had no answer and is still wanted, and look up what the cache should have shown by now.

        `seen`: pods that count, of which none is awaited any more. Raises ApiError.
        """
        certain = sum(not awaited.unsure for awaited in expectations.creating.values())
        missing = (owner.spec.replicas or 0) - seen - certain
        for name, awaited in list(expectations.creating.items()):
            if awaited.unsure and missing > 0:
                missing -= 1
                await self._create_again(owner, name, expectations)
            elif awaited.unsure or expectations.overdue(awaited):
                await self._look_up(owner, name, expectations)
        too_many = sum(awaited.unsure for awaited in expectations.deleting.values()) - missing
        for uid, awaited in list(expectations.deleting.items()):
            if awaited.unsure and too_many > 0:
                too_many -= 1
                await self._delete(owner, awaited.name, uid, expectations)
            elif awaited.unsure or expectations.overdue(awaited):
                await self._look_up_deleted(owner, uid, awaited, expectations)

    # --- creations ------------------------------------------------------------------------------------

    def _new_name(self, owner: ReplicaSet, expectations: Expectations) -> str:
        prefix = pod_prefix(owner.metadata.name)[:_PREFIX_CHARACTERS_MAX]
        while True:
            name = prefix + "".join(self._random.choices(_ALPHABET, k=_RANDOM_CHARACTERS))
            if name not in expectations.creating and not self._cache.get(name, namespace=owner.metadata.namespace):
                return name

    async def _create(self, owner: ReplicaSet, name: str, expectations: Expectations) -> None:
        """Raises ApiError."""
        expectations.expect_creation(name)
        try:
            made = await self._client.create(pod_of(owner, name))
        except Fenced:
            raise
        except ApiError as error:
            if error.definite:
                expectations.creating.pop(name, None)
            elif name in expectations.creating:
                expectations.creating[name].unsure = True
            if not namespace_is_ending(error):
                self._event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._created(owner, made, expectations)

    def _created(self, owner: ReplicaSet, made: Pod, expectations: Expectations) -> None:
        meta = made.metadata
        expectations.created(made, self._cache.get(meta.name, namespace=meta.namespace))
        self._event(owner, "Normal", "SuccessfulCreate", f"Created pod: {meta.name}")

    async def _create_again(self, owner: ReplicaSet, name: str, expectations: Expectations) -> None:
        """The write that had no answer, under the same name. Raises ApiError."""
        try:
            made = await self._client.create(pod_of(owner, name))
        except Fenced:
            raise
        except AlreadyExists:
            await self._look_up(owner, name, expectations)
        except ApiError as error:
            if not error.definite:
                raise
            await self._look_up(owner, name, expectations)
        else:
            self._created(owner, made, expectations)

    async def _look_up(self, owner: ReplicaSet, name: str, expectations: Expectations) -> None:
        """Whether the pod is there; if so the cache will show it."""
        try:
            found = await self._client.get(Pod, name, namespace=owner.metadata.namespace)
        except NotFound:
            expectations.creating.pop(name, None)
            return
        controller = controller_of(found)
        if controller is not None and controller.uid == owner.metadata.uid:
            expectations.created(found, self._cache.get(name, namespace=owner.metadata.namespace))
        else:
            expectations.creating.pop(name, None)

    # --- deletions ------------------------------------------------------------------------------------

    async def _delete(self, owner: ReplicaSet, name: str, uid: str, expectations: Expectations) -> None:
        """Raises ApiError."""
        options = DeleteOptions(preconditions=Preconditions(uid=uid))
        awaited = expectations.deleting.get(uid)
        try:
            await self._client.delete(Pod, name, namespace=owner.metadata.namespace, options=options)
        except Fenced:
            raise
        except (NotFound, Conflict):  # gone, or another one has its name by now: the cache is to show that
            if awaited is not None:
                expectations.await_on(awaited)
            return
        except ApiError as error:
            if not error.definite and awaited is not None:
                awaited.unsure = True
            elif awaited is None or not awaited.unsure:  # else an earlier one may have done it
                expectations.deleting.pop(uid, None)
            self._event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        if awaited is not None:
            expectations.await_on(awaited)
        self._event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

    async def _look_up_deleted(self, owner: ReplicaSet, uid: str, awaited: Awaited, expectations: Expectations) -> None:
        """Whether the pod is about to go; if so the cache will show it."""
        try:
            found = await self._client.get(Pod, awaited.name, namespace=owner.metadata.namespace)
        except NotFound:
            expectations.await_on(awaited)
            return
        if found.metadata.uid != uid or found.metadata.deletion_timestamp is not None:
            expectations.await_on(awaited)
        else:
            expectations.deleting.pop(uid, None)

    def _event(self, owner: ReplicaSet, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._recorder.event(owner, type_, reason, message, component=COMPONENT)


def pod_of(owner: ReplicaSet, name: str) -> Pod:
    """A pod of the owner's template. It shares the template's parts: encode it, do not change it."""
    template = owner.spec.template
    metadata = ObjectMeta(
        name=name,
        generate_name=pod_prefix(owner.metadata.name),
        namespace=owner.metadata.namespace,
        labels=template.metadata.labels,
        annotations=template.metadata.annotations,
        finalizers=template.metadata.finalizers,
        owner_references=[reference_to(owner)],
    )
    return Pod(metadata=metadata, spec=template.spec)


def pod_prefix(owner: str) -> str:
    """What the names of an owner's pods begin with: its name and a dash."""
    return f"{owner}-"
