"""create, update and patch: one way from a body to a transaction that compares what it was built from.

An attempt reads the object, builds the new one, passes admission and rules, lets effects add to the transaction, and
commits. When another write came in between, a request that named a resourceVersion gets a Conflict; any other is built
anew, a bounded number of times. What changes nothing (compared on plaintext) is not written.
"""

from __future__ import annotations

import copy
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from apiserver.admission.plugin import Admission
from apiserver.api.errors import AlreadyExists, BadRequest, Conflict, ServiceUnavailable
from apiserver.api.fields import Causes
from apiserver.api.meta import ObjectMeta, TopObject
from apiserver.api.moments import canonical_moments
from apiserver.api.times import now_text
from apiserver.api.validation import validate_metadata, validate_metadata_update
from apiserver.decode import decode_object
from apiserver.effects.effect import CREATE, DELETE, UPDATE, Effect, Write
from apiserver.effects.fencing import Fence
from apiserver.registry.resource import Resource
from apiserver.storage import Storage, Stored, Transaction, decode, encode, key_of
from apiserver.verbs.answer import ObjectAnswer
from apiserver.verbs.call import Call
from apiserver.verbs.reading import not_found

ATTEMPTS_MAX = 8
GENERATED_SUFFIX_CHARACTERS = 5
GENERATED_PREFIX_CHARACTERS_MAX = 58
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, so that no word comes out

#: Runs a write through admission; mutates `request.obj`.
Admit = Callable[[Admission], Awaitable[None]]


class Change(NamedTuple):
    """What an update makes of the object that is there: the new one, typed, and whether a version was named.

    `rule` is checked instead of the kind's own rules for changes: (new, old, causes).
    """

    obj: Any
    conditional: bool
    rule: Callable[[Any, Any, Causes], None] | None = None


#: Builds the new object from the old one (typed, and as it is stored).
Build = Callable[[Any, Stored], Change]


def conflict(resource: Resource, name: str, why: str = "") -> Conflict:
    reason = why or "the object has been modified; please apply your changes to the latest version and try again"
    return Conflict(
        f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {reason}',
        kind=resource.plural,
        group=resource.group,
        name=name,
    )


class Writer:
    """Writes objects for requests. Raises ApiError."""

    def __init__(
        self,
        storage: Storage,
        admit: Admit,
        check: Admit,
        effects: Mapping[str, Sequence[Effect]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.storage = storage
        self.clock = clock
        self._admit = admit
        self._check = check
        self._effects = effects

    # --- create -------------------------------------------------------------------------------------

    async def create(self, call: Call, made: Any | None = None) -> ObjectAnswer:
        """`made` is a typed object to use instead of the body. Raises AlreadyExists, Invalid, Forbidden, ..."""
        call.check_options()
        for attempt in range(ATTEMPTS_MAX):
            obj = copy.deepcopy(made) if made is not None else self.body(call, call.resource)
            if call.resource.conversion is not None and made is None:
                obj = call.resource.conversion.to_stored(obj, None)
            stored = await self._create_once(call, obj, attempt)
            if stored is not None:
                return ObjectAnswer(call.resource, stored, 201)
        raise ServiceUnavailable(
            f"{call.stored.plural} could not be created: other writes came in between {ATTEMPTS_MAX} times",
            retry_after_s=1,
        )

    async def _create_once(self, call: Call, obj: Any, attempt: int) -> Stored | None:
        resource, strategy, meta = call.stored, call.stored.strategy, obj.metadata
        self.check_place(call, meta)
        generated = self._new_identity(resource, meta)
        self._reset_status(obj, None, strategy.initial_status(obj))
        canonical_moments(obj)
        strategy.prepare_create(obj)
        strategy.default(obj)
        admission = self._admission(call, "CREATE", obj, None)
        await self._admit(admission)
        obj = admission.obj  # a plug-in may have put another in its place
        meta = obj.metadata
        self.check_place(call, meta)
        causes = Causes()
        validate_metadata(meta, causes, namespaced=resource.namespaced, name_rule=strategy.name_rule)
        if not call.own:
            strategy.validate(obj, causes)
        self._raise(causes, resource, meta.name or meta.generate_name)
        await self._check(admission)
        self._warn(call, strategy.warnings(obj))
        write = self._write(call, CREATE, meta, obj, None, attempt)
        key = key_of(resource, meta.namespace, meta.name)
        write.transaction.expect(key, 0)
        done = await self._commit(call, write, key)
        if done is None and not generated and self.storage.peek_key(key) is not None:
            raise AlreadyExists(
                f'{resource.group_resource} "{meta.name}" already exists',
                kind=resource.plural,
                group=resource.group,
                name=meta.name,
            )
        return done

    def _new_identity(self, resource: Resource, meta: ObjectMeta) -> bool:
        """What the server sets at creation. True when it made the name up."""
        if meta.resource_version:
            raise BadRequest("resourceVersion should not be set on objects to be created")
        meta.uid = str(uuid.uuid4())
        meta.creation_timestamp = now_text(self.clock)
        meta.deletion_timestamp = meta.deletion_grace_period_seconds = None
        meta.self_link, meta.managed_fields = "", []
        meta.generation = 1 if resource.strategy.has_generation else 0
        if meta.name or not meta.generate_name:
            return False
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(GENERATED_SUFFIX_CHARACTERS))
        meta.name = meta.generate_name[:GENERATED_PREFIX_CHARACTERS_MAX] + suffix
        return True

    @staticmethod
    def _reset_status(obj: Any, status: Any | None, initial: Any | None) -> None:
        if "status" not in type(obj).__struct_fields__:
            return
        if status is None:
            status = initial if initial is not None else type(obj)().status
        obj.status = status

    # --- update and patch ---------------------------------------------------------------------------

    async def update(self, call: Call) -> ObjectAnswer:
        """PUT. Raises NotFound, Conflict, Invalid, ..."""
        call.check_options()
        build = self.replacement(call)
        if call.stored.strategy.allow_create_on_update and not call.subresource:
            await self.storage.linearize()
            if self.storage.peek(call.stored, call.namespace, call.name) is None:
                if call.may_create is not None:
                    await call.may_create()
                return await self.create(call)
        return await self.change(call, build)

    def replacement(self, call: Call) -> Build:
        """What a PUT makes of the object that is there. Raises BadRequest, UnsupportedMediaType."""
        new = self.body(call, call.resource)
        self.check_place(call, new.metadata)
        if new.metadata.name != call.name:
            raise BadRequest(
                f"the name of the object ({new.metadata.name or 'none'}) "
                f"does not match the name on the URL ({call.name})"
            )

        def build(old: Any, _stored: Stored) -> Change:
            obj = copy.deepcopy(new)
            conditional = bool(obj.metadata.resource_version)
            if call.resource.conversion is not None:
                obj = call.resource.conversion.to_stored(obj, old)
            return Change(obj, conditional)

        return build

    async def change(self, call: Call, build: Build) -> ObjectAnswer:
        """Read, build, write, until nothing came in between. Used by every verb that changes what is there."""
        for attempt in range(ATTEMPTS_MAX):
            stored = await self.storage.read(call.stored, call.namespace, call.name)
            if stored is None:
                raise not_found(call.resource, call.name)
            old = decode(call.stored, stored)
            change = build(decode(call.stored, stored), stored)
            self._preconditions(call, change.obj.metadata, old.metadata)
            done = await self._update_once(call, change, old, stored, attempt)
            if done is not None:
                return ObjectAnswer(call.resource, done)
            if change.conditional and self._moved_on(call, stored):
                raise conflict(call.resource, call.name)
        raise conflict(call.resource, call.name, f"other writes came in between {ATTEMPTS_MAX} times; try again")

    def _moved_on(self, call: Call, stored: Stored) -> bool:
        """Whether it is the object that changed, and not something else that its transaction compares."""
        found = self.storage.peek_key(key_of(call.stored, call.namespace, call.name))
        return found is None or found.mod_revision != stored.revision

    def _preconditions(self, call: Call, new: ObjectMeta, old: ObjectMeta) -> None:
        if new.uid and new.uid != old.uid:
            raise conflict(
                call.resource,
                call.name,
                f"Precondition failed: UID in precondition: {new.uid}, UID in object meta: {old.uid}",
            )
        if new.resource_version and new.resource_version != old.resource_version:
            raise conflict(call.resource, call.name)
        if not new.resource_version and not call.stored.strategy.allow_unconditional_update:
            causes = Causes()
            causes.invalid("metadata.resourceVersion", "", "must be specified for an update")
            self._raise(causes, call.stored, call.name)

    async def _update_once(self, call: Call, change: Change, old: Any, stored: Stored, attempt: int) -> Stored | None:
        resource, strategy = call.stored, call.stored.strategy
        obj: Any = change.obj
        if call.subresource == "status":
            obj = _with_status(obj, old)
            strategy.prepare_status(obj, old)
        else:
            self._keep_identity(obj.metadata, old.metadata)
            if call.subresource not in _OWN_RULES:
                self._reset_status(obj, getattr(old, "status", None), None)
                strategy.prepare_update(obj, old)
        canonical_moments(obj)
        strategy.default(obj)
        admission = self._admission(call, "UPDATE", obj, old)
        await self._admit(admission)
        obj = admission.obj
        self._next_generation(strategy.has_generation, obj, old)
        causes = Causes()
        validate_metadata(obj.metadata, causes, namespaced=resource.namespaced, name_rule=strategy.name_rule)
        validate_metadata_update(obj.metadata, old.metadata, causes)
        if call.subresource == "status":
            strategy.validate_status(obj, old, causes)
        elif not call.own:
            strategy.validate(obj, causes)
            if change.rule is not None:
                change.rule(obj, old, causes)
            elif call.subresource not in _OWN_RULES:
                strategy.validate_update(obj, old, causes)
        self._raise(causes, resource, call.name)
        await self._check(admission)
        if not call.subresource:
            self._warn(call, strategy.warnings(obj))
        if is_finished(obj):
            return await self._finish(call, obj, old, stored, attempt)
        if encode(obj) == stored.plain:
            return stored
        write = self._write(call, UPDATE, obj.metadata, obj, old, attempt)
        key = key_of(resource, call.namespace, call.name)
        write.transaction.expect(key, stored.revision)
        done = await self._commit(call, write, key)
        return Stored(done.plain, stored.revision) if done is not None and call.dry_run else done

    async def _finish(self, call: Call, obj: Any, old: Any, stored: Stored, attempt: int) -> Stored | None:
        """The last finalizer is gone from an object whose deletion was asked for: so is the object."""
        write = self._write(call, DELETE, obj.metadata, None, old, attempt)
        key = key_of(call.stored, call.namespace, call.name)
        write.transaction.expect(key, stored.revision)
        write.transaction.delete(key)
        revision = await self.commit_write(call, write)
        return None if revision is None else Stored(encode(obj), revision or stored.revision)

    @staticmethod
    def _keep_identity(new: ObjectMeta, old: ObjectMeta) -> None:
        """What an update may leave out but not change."""
        new.uid = new.uid or old.uid
        new.creation_timestamp = old.creation_timestamp
        new.generation = old.generation
        new.deletion_timestamp = old.deletion_timestamp
        new.deletion_grace_period_seconds = old.deletion_grace_period_seconds
        new.generate_name = new.generate_name or old.generate_name
        new.self_link, new.managed_fields = "", []

    @staticmethod
    def _next_generation(has_generation: bool, obj: Any, old: Any) -> None:
        if has_generation and _desired(obj) != _desired(old):
            obj.metadata.generation = old.metadata.generation + 1

    # --- shared by all ------------------------------------------------------------------------------

    def body(self, call: Call, resource: Resource) -> Any:
        """The body as an object of the resource's type. Raises BadRequest, UnsupportedMediaType."""
        decoded = decode_object(call.body, call.content_type, resource.type, strictness=call.strictness)
        for text in decoded.warnings:
            call.warn(text)
        self.check_kind(decoded.obj, resource)
        return decoded.obj

    @staticmethod
    def check_kind(obj: TopObject, resource: Resource) -> None:
        """Kind and apiVersion must be the resource's, or left out; afterwards they are set."""
        kind, version = obj.kind or resource.kind, obj.api_version or resource.api_version
        if kind != resource.kind:
            raise BadRequest(f'{kind} in version "{version}" cannot be handled as a {resource.kind}: kinds differ')
        if version != resource.api_version:
            raise BadRequest(
                f"the API version in the data ({version}) does not match the expected API version "
                f"({resource.api_version})"
            )
        obj.kind, obj.api_version = resource.kind, resource.api_version

    @staticmethod
    def check_place(call: Call, meta: ObjectMeta) -> None:
        """The namespace must be the request's; afterwards it is set. Raises BadRequest."""
        if not call.stored.namespaced:
            return
        if meta.namespace and call.namespace and meta.namespace != call.namespace:
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
        if not call.namespace:
            call.namespace = meta.namespace or "default"  # the native API takes the namespace from the object
        meta.namespace = call.namespace

    @staticmethod
    def _raise(causes: Causes, resource: Resource, name: str) -> None:
        if causes:
            raise causes.error(kind=resource.kind, group=resource.group, name=name)

    @staticmethod
    def _warn(call: Call, texts: Sequence[str]) -> None:
        for text in texts:
            call.warn(text)

    def _admission(self, call: Call, operation: str, obj: Any, old: Any | None) -> Admission:
        return Admission(
            user=call.user,
            resource=call.stored,
            operation=operation,
            namespace=call.namespace,
            name=obj.metadata.name if obj is not None else call.name,
            obj=obj,
            old=old,
            subresource=call.subresource,
            dry_run=call.dry_run,
            warn=call.warn,
        )

    @staticmethod
    def _write(call: Call, verb: str, meta: ObjectMeta, obj: Any | None, old: Any | None, attempt: int) -> Write:
        return Write(
            resource=call.stored,
            verb=verb,
            namespace=call.namespace,
            name=meta.name,
            obj=obj,
            old=old,
            transaction=Transaction(),
            user=call.user,
            subresource=call.subresource,
            attempt=attempt,
            dry_run=call.dry_run,
        )

    async def _commit(self, call: Call, write: Write, key: bytes) -> Stored | None:
        """Let effects plan, then write the object. None: something came in between."""
        for effect in self._effects.get(write.resource.key, ()):
            await effect.plan(write)
        assert write.obj is not None
        plain = encode(write.obj)
        write.transaction.put(key, self.storage.sealed(write.resource, key, plain))
        revision = await self._transact(call, write)
        return None if revision is None else Stored(plain, revision)

    async def commit_write(self, call: Call, write: Write) -> int | None:
        """The same for a write that puts no object (a deletion), whose operation is in the transaction already."""
        for effect in self._effects.get(write.resource.key, ()):
            await effect.plan(write)
        return await self._transact(call, write)

    async def _transact(self, call: Call, write: Write) -> int | None:
        """The revision, 0 for a dry run, None when something came in between. Raises Fenced."""
        fence = Fence.parse(call.fence) if call.fence else None
        if fence is not None:
            fence.guard(write.transaction)
        if call.dry_run:  # compared as ever, and nothing done
            result = await self.storage.transact(write.transaction.compare, ())
            revision = 0 if result.succeeded else None
        else:
            revision = await self.storage.commit(write.transaction)
        if revision is None:
            await self.storage.linearize()
            if fence is not None:
                fence.check(self.storage)
        return revision

    def admission_for_delete(self, call: Call, old: Any) -> Admission:
        admission = self._admission(call, "DELETE", old, old)
        admission.obj = None
        return admission

    def admission_for(self, call: Call, obj: Any) -> Admission:
        """Of something that is asked for beside the object, such as a token."""
        return self._admission(call, "CREATE", obj, None)

    async def admitted(self, admission: Admission) -> None:
        """Admission without an object to change: a deletion, a connection."""
        await self._admit(admission)
        await self._check(admission)


#: Subresources that change what an update may not, and nothing else (subresources.py).
_OWN_RULES = frozenset({"approval", "binding", "ephemeralcontainers", "finalize"})


def _with_status(new: Any, old: Any) -> Any:
    """The old object with the new one's status."""
    obj = copy.deepcopy(old)
    obj.status = new.status
    return obj


def _desired(obj: Any) -> list[Any]:
    """Everything but metadata and status."""
    return [getattr(obj, name) for name in type(obj).__struct_fields__ if name not in ("metadata", "status")]


def is_finished(obj: Any) -> bool:
    """Deletion was asked for, nobody has to do anything any more, and no time is left to wait for."""
    meta = obj.metadata
    return (
        meta.deletion_timestamp is not None
        and not meta.finalizers
        and not meta.deletion_grace_period_seconds
        and not remaining_finalizers(obj)
    )


def remaining_finalizers(obj: Any) -> Sequence[str]:
    """A namespace's own finalizers: who has to empty it."""
    if obj.kind != "Namespace":
        return ()
    spec = obj.spec
    return spec.finalizers if spec is not None else ()
