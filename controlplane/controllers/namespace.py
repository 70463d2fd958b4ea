"""Empties namespaces that are to go, and then lets them go.

Nothing can be created in a namespace whose deletion was asked for: the server refuses it in the creation's transaction.
So what was seen to be empty stays empty, and the finalizer `kubernetes` is removed once every kind was.

Pods go first, and all of them, before what they may still need (Kubernetes' ordered deletion). What still stands in the
way is said in the conditions of the namespace's status, in Kubernetes' words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from apiserver.api.core.namespace import Namespace, NamespaceCondition
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError, Fenced, NotFound
from apiserver.api.kinds import Kind
from apiserver.api.meta import DeleteOptions, Preconditions
from apiserver.client import Change, ListOptions, metadata
from apiserver.client.metadata import Metadata
from controlplane.controllers.replicaset.batches import at_once
from controlplane.controllers.stored_kinds import POD, stored_kinds
from controlplane.controllers.writes import guarded
from controlplane.runtime import DONE, Context, Part, Request, Result, Source, controller, own_key

NAME = "namespace"
WORKERS = 4
FINALIZER = "kubernetes"
PAGE_SIZE = 500
FIRST_LOOK_S, LONGEST_LOOK_S = 0.5, 15.0
GRACE_S = 30.0  # of a pod that does not say

#: Condition type -> reason and message while there is nothing to say. In the order in which they are shown.
FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


class Remains(msgspec.Struct):
    """What is still there, and what went wrong."""

    objects: dict[str, int] = {}  # `deployments.apps` -> how many
    finalizers: Counter[str] = msgspec.field(default_factory=Counter)
    errors: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.objects or self.errors)

    def problems(self) -> Mapping[str, tuple[str, str]]:
        """Condition type -> reason and message of those that are True."""
        found = {}
        if self.errors:
            text = "; ".join(self.errors)
            message = f"Failed to delete all resource types, {len(self.errors)} remaining: {text}"
            found["NamespaceDeletionContentFailure"] = ("ContentDeletionFailed", message)
        if self.objects:
            each = ", ".join(f"{name} has {number} resource instances" for name, number in sorted(self.objects.items()))
            found["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {each}")
        if self.finalizers:
            each = ", ".join(
                f"{name} in {number} resource instances" for name, number in sorted(self.finalizers.items())
            )
            message = f"Some content in the namespace has finalizers remaining: {each}"
            found["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", message)
        return found


def conditions_of(
    old: Sequence[NamespaceCondition], problems: Mapping[str, tuple[str, str]], now: str
) -> list[NamespaceCondition]:
    """All of ours, those of others kept. A time is new only when the status is."""
    known = {each.type: each for each in old}
    for type_, fine in FINE.items():
        status = "True" if type_ in problems else "False"
        reason, message = problems.get(type_, fine)
        before = known.get(type_)
        since = before.last_transition_time if before is not None and before.status == status else now
        known[type_] = NamespaceCondition(
            type=type_, status=status, last_transition_time=since, reason=reason, message=message
        )
    return list(known.values())


class NamespaceDeletion:
    """The Reconciler."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._pace = context.pace
        self._pods = context.caches.pods.cache
        self._kinds = [kind for kind in stored_kinds() if kind.namespaced and kind is not POD]
        self._looks: dict[str, int] = {}  # of namespaces that are not empty yet

    async def reconcile(self, request: Request) -> Result:
        name = request.name
        try:
            namespace = await self._client.get(Namespace, name)
        except NotFound:
            self._looks.pop(name, None)
            return DONE
        if namespace.metadata.deletion_timestamp is None or FINALIZER not in namespace.spec.finalizers:
            self._looks.pop(name, None)
            return DONE
        remains = await self._empty(name)
        if remains or namespace.status.conditions:
            namespace = await self._say(namespace, remains)
        if remains:
            return Result(requeue_after_s=self._wait_s(name, remains))
        namespace.spec.finalizers = [each for each in namespace.spec.finalizers if each != FINALIZER]
        await self._client.update(namespace, subresource="finalize")
        self._looks.pop(name, None)
        return DONE

    def _wait_s(self, name: str, remains: Remains) -> float:
        """Of pods half their grace, for they end by themselves, and the last one wakes us; of others, and after errors,
        twice as long each time."""
        if _name(POD) in remains.objects and not remains.errors:
            return self._grace_s(name) / 2 + 1
        looks = self._looks.get(name, 0)
        self._looks[name] = looks + 1
        return min(LONGEST_LOOK_S, FIRST_LOOK_S * 2.0 ** min(looks, 16))

    def _grace_s(self, name: str) -> float:
        running = [pod for pod in self._pods.in_namespace(name) if pod.status.phase not in ("Succeeded", "Failed")]
        return max((_grace_of(pod) for pod in running), default=GRACE_S)

    # --- what is in it ----------------------------------------------------------------------------------

    async def _empty(self, namespace: str) -> Remains:
        """Ask for the deletion of everything; what is left afterwards. Raises Fenced."""
        remains = Remains()
        await self._delete_all(POD, namespace, remains)
        if remains:
            return remains
        for kind in self._kinds:
            await self._delete_all(kind, namespace, remains)
        return remains

    async def _delete_all(self, kind: Kind, namespace: str, remains: Remains) -> None:
        try:
            there = await self._all(kind, namespace)
            pending = [each for each in there if each.deletion_timestamp is None]
            failures = await self._delete(kind, namespace, pending)
            if pending:
                there = await self._all(kind, namespace)
        except Fenced:
            raise
        except ApiError as error:
            remains.errors.append(f"{_name(kind)}: {error.message}")
            return
        remains.errors += [f"{_name(kind)}: {each.message}" for each in failures[:1]]  # the others will say the same
        if there:
            remains.objects[_name(kind)] = len(there)
            remains.finalizers.update(finalizer for each in there for finalizer in each.finalizers)

    async def _all(self, kind: Kind, namespace: str) -> list[Metadata]:
        options, found = ListOptions(limit=PAGE_SIZE), list[Metadata]()
        while True:
            page = await metadata.list_page(self._client, kind, namespace=namespace, options=options)
            found += page.items
            await self._pace.breathe()
            if not page.metadata.continue_:
                return found
            options = msgspec.structs.replace(options, continue_=page.metadata.continue_)

    async def _delete(self, kind: Kind, namespace: str, pending: Sequence[Metadata]) -> list[ApiError]:
        """What could not be asked for; that is no reason not to ask for the others. Raises Fenced."""
        failures = []

        async def delete(found: Metadata) -> None:
            options = DeleteOptions(preconditions=Preconditions(uid=found.uid), propagation_policy="Background")
            try:
                await metadata.delete(self._client, kind, found.name, namespace=namespace, options=options)
            except Fenced:
                raise
            except ApiError as error:
                if not isinstance(error, NotFound):
                    failures.append(error)

        await at_once(pending, delete)
        return failures

    # --- what is said of it -----------------------------------------------------------------------------

    async def _say(self, namespace: Namespace, remains: Remains) -> Namespace:
        conditions = conditions_of(namespace.status.conditions, remains.problems(), self._clock.now_text())
        if conditions == namespace.status.conditions:
            return namespace
        patch = guarded(namespace, status={"conditions": conditions})
        return await self._client.patch(Namespace, namespace.metadata.name, patch, subresource="status")


def _name(kind: Kind) -> str:
    """As Kubernetes has it there, with a dot also where there is no group."""
    return f"{kind.plural}.{kind.group}"


def _grace_of(pod: Pod) -> float:
    given = pod.metadata.deletion_grace_period_seconds
    if given is None:
        given = pod.spec.termination_grace_period_seconds
    return GRACE_S if given is None else float(given)


def parts(context: Context) -> list[Part]:
    namespaces, pods = context.caches.namespaces, context.caches.pods

    def if_it_goes(change: Change[Namespace]) -> Iterable[Request]:
        return own_key(change) if change.object.metadata.deletion_timestamp is not None else ()

    def of_last_pod(change: Change[Pod]) -> Iterable[Request]:
        """The namespace that has no pod any more."""
        name = change.object.metadata.namespace
        if change.type != "deleted" or pods.cache.in_namespace(name):
            return ()
        namespace = namespaces.cache.get(name)
        goes = namespace is not None and namespace.metadata.deletion_timestamp is not None
        return (Request("", name),) if goes else ()

    sources = [Source(namespaces, if_it_goes), Source(pods, of_last_pod)]
    return [controller(context, NAME, NamespaceDeletion(context), sources, workers=WORKERS)]
