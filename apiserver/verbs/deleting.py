"""delete and deletecollection: at once, or asked for and finished by others.

An object with finalizers, or whose kind asks for a grace period, is only marked: deletionTimestamp and what is left of
its grace. Whoever removes the last finalizer, or asks again with a grace period of 0, removes it (writing.py). A
namespace counts its own `spec.finalizers`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from apiserver.api.errors import BadRequest, NotFound
from apiserver.api.fields import Causes
from apiserver.api.meta import DeleteOptions, Status, StatusDetails
from apiserver.api.times import parse_time, time_text
from apiserver.decode import decode_object
from apiserver.effects.effect import DELETE, UPDATE, Write
from apiserver.registry.resource import Resource
from apiserver.storage import Stored, Transaction, decode, encode, key_of
from apiserver.verbs.answer import Answer, ListAnswer, ObjectAnswer, ValueAnswer
from apiserver.verbs.call import Call, ListOptions, refuse_options
from apiserver.verbs.reading import Reader, not_found
from apiserver.verbs.writing import ATTEMPTS_MAX, Writer, conflict, remaining_finalizers

ORPHAN = "Orphan"
FOREGROUND = "Foreground"
BACKGROUND = "Background"
_FINALIZER_OF = {ORPHAN: "orphan", FOREGROUND: "foregroundDeletion"}
GRACE_S_MAX = 2**31  # 68 years: far beyond, there are no moments
COLLECTION_MAX = 10_000  # objects of one deletecollection; it can be sent again for more


class Deleter:
    """Deletes objects for requests. Raises ApiError."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self._storage = writer.storage

    async def delete(self, call: Call, options: DeleteOptions | None = None) -> Answer:
        """The object while it waits; once it is gone a Status, or for some kinds the object as it was.

        Raises NotFound, Conflict, BadRequest.
        """
        options = options or options_of(call)
        for attempt in range(ATTEMPTS_MAX):
            stored = await self._storage.read(call.stored, call.namespace, call.name)
            if stored is None:
                raise not_found(call.resource, call.name)
            old = decode(call.stored, stored)
            _check_preconditions(call, options, old)
            await self._writer.admitted(self._writer.admission_for_delete(call, old))
            done = await self._delete_once(call, options, old, stored, attempt)
            if done is not None:
                return done
        raise conflict(call.resource, call.name, f"other writes came in between {ATTEMPTS_MAX} times; try again")

    async def _delete_once(
        self, call: Call, options: DeleteOptions, old: Any, stored: Stored, attempt: int
    ) -> Answer | None:
        obj = decode(call.stored, stored)
        at_once = self._mark(call.stored, obj, options)
        key = key_of(call.stored, call.namespace, call.name)
        write = Write(
            resource=call.stored,
            verb=DELETE if at_once else UPDATE,
            namespace=call.namespace,
            name=call.name,
            obj=None if at_once else obj,
            old=old,
            transaction=Transaction(),
            user=call.user,
            attempt=attempt,
            dry_run=call.dry_run,
        )
        write.transaction.expect(key, stored.revision)
        if at_once:
            write.transaction.delete(key)
            revision = await self._writer.commit_write(call, write)
            if revision is None:
                return None
            if call.stored.strategy.returns_deleted:
                return ObjectAnswer(call.resource, Stored(encode(obj), revision or stored.revision))
            return ValueAnswer(_gone(call.resource, old))
        plain = encode(obj)
        if plain == stored.plain:
            return ObjectAnswer(call.resource, stored)
        write.transaction.put(key, self._storage.sealed(call.stored, key, plain))
        revision = await self._writer.commit_write(call, write)
        return None if revision is None else ObjectAnswer(call.resource, Stored(plain, revision or stored.revision))

    def _mark(self, resource: Resource, obj: Any, options: DeleteOptions) -> bool:
        """Write into the object that its deletion was asked for. True: nothing has to be waited for."""
        meta = obj.metadata
        _set_dependents(meta.finalizers, options)
        asked = options.grace_period_seconds
        grace_s = min(resource.strategy.grace_period_s(obj, asked) or 0, GRACE_S_MAX)
        if meta.deletion_timestamp is None:
            now = self._writer.clock()
            meta.deletion_grace_period_seconds = grace_s
            meta.deletion_timestamp = time_text(_moment(now) + timedelta(seconds=grace_s))
            if resource.strategy.has_generation:
                meta.generation += 1
        elif grace_s < (meta.deletion_grace_period_seconds or 0):
            asked_at = parse_time(meta.deletion_timestamp) - timedelta(seconds=meta.deletion_grace_period_seconds)
            meta.deletion_grace_period_seconds = grace_s
            meta.deletion_timestamp = time_text(asked_at + timedelta(seconds=grace_s))
        if obj.kind == "Namespace" and remaining_finalizers(obj):
            obj.status.phase = "Terminating"
        return not (meta.finalizers or remaining_finalizers(obj) or meta.deletion_grace_period_seconds)

    async def delete_collection(self, call: Call) -> Answer:
        """Every object that the selectors match. The list of what was deleted."""
        options = options_of(call)
        query = ListOptions.parse(call.query)
        listed = await self._reader.list_objects(call, query)
        if len(listed.items) > COLLECTION_MAX:
            raise BadRequest(f"{len(listed.items)} objects match: give a limit of at most {COLLECTION_MAX}")
        for stored in listed.items:
            meta = decode(call.stored, stored).metadata
            one = Call(
                user=call.user,
                resource=call.resource,
                stored=call.stored,
                verb="delete",
                namespace=meta.namespace,
                name=meta.name,
                query=call.query,
                fence=call.fence,
                warnings=call.warnings,
            )
            await self._delete_if_there(one, options)
        return ListAnswer(call.resource, listed.items, listed.revision)

    async def _delete_if_there(self, call: Call, options: DeleteOptions) -> None:
        try:
            await self.delete(call, options)
        except NotFound:
            return  # somebody else deleted it: what was asked for is so


def options_of(call: Call) -> DeleteOptions:
    """DeleteOptions of the body, and the query's over them. Raises BadRequest, Invalid."""
    call.check_options()
    if call.body:
        decoded = decode_object(call.body, call.content_type, DeleteOptions, strictness="Ignore")
        options: DeleteOptions = decoded.obj
        if options.kind not in ("", "DeleteOptions"):
            raise BadRequest(f"the body of a deletion must be DeleteOptions, not {options.kind}")
    else:
        options = DeleteOptions()
    _from_query(call, options)
    return checked_options(call, options)


def checked_options(call: Call, options: DeleteOptions) -> DeleteOptions:
    """The options as they are meant; a dry run becomes the call's. Raises Invalid."""
    _check_options(options)
    if options.dry_run:
        call.query = {**call.query, "dryRun": "All"}
    if options.grace_period_seconds is not None and options.grace_period_seconds < 0:
        options.grace_period_seconds = 1  # as Kubernetes: the shortest one that still tells the node
    return options


def _check_options(options: DeleteOptions) -> None:
    """Raises Invalid."""
    causes, policy = Causes(), options.propagation_policy
    if policy is not None and options.orphan_dependents is not None:
        causes.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
    if policy not in (None, ORPHAN, FOREGROUND, BACKGROUND):
        causes.not_supported("propagationPolicy", policy, (FOREGROUND, BACKGROUND, ORPHAN, "nil"))
    for each in options.dry_run:
        if each != "All":
            causes.not_supported("dryRun", each, ("All",))
    if options.ignore_store_read_error_with_cluster_breaking_potential:
        causes.forbidden("ignoreStoreReadErrorWithClusterBreakingPotential", "is not supported")
    refuse_options(causes, "DeleteOptions")


def _from_query(call: Call, options: DeleteOptions) -> None:
    query = call.query
    grace = query.get("gracePeriodSeconds", "")
    if grace:
        try:
            options.grace_period_seconds = int(grace[:20])
        except ValueError:
            raise BadRequest(f'gracePeriodSeconds: Invalid value: "{grace[:64]}": must be a whole number') from None
    if query.get("propagationPolicy"):
        options.propagation_policy = query["propagationPolicy"]
    if query.get("orphanDependents"):
        options.orphan_dependents = query["orphanDependents"] == "true"


def _set_dependents(finalizers: list[str], options: DeleteOptions) -> None:
    """What the deletion asks of the garbage collector stands in the finalizers."""
    policy = options.propagation_policy
    if policy is None and options.orphan_dependents is not None:
        policy = ORPHAN if options.orphan_dependents else BACKGROUND
    if policy is None:
        return
    finalizers[:] = [each for each in finalizers if each not in _FINALIZER_OF.values()]
    if policy in _FINALIZER_OF:
        finalizers.append(_FINALIZER_OF[policy])


def _check_preconditions(call: Call, options: DeleteOptions, obj: Any) -> None:
    wanted = options.preconditions
    if wanted is None:
        return
    meta = obj.metadata
    if wanted.uid is not None and wanted.uid != meta.uid:
        raise conflict(
            call.resource,
            call.name,
            f"Precondition failed: UID in precondition: {wanted.uid}, UID in object meta: {meta.uid}",
        )
    if wanted.resource_version is not None and wanted.resource_version != meta.resource_version:
        raise conflict(
            call.resource,
            call.name,
            f"Precondition failed: ResourceVersion in precondition: {wanted.resource_version}, "
            f"ResourceVersion in object meta: {meta.resource_version}",
        )


def _gone(resource: Resource, old: Any) -> Status:
    meta = old.metadata
    return Status(
        status="Success",
        details=StatusDetails(name=meta.name, group=resource.group, kind=resource.plural, uid=meta.uid),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
