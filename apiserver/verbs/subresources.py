"""Subresources with a meaning of their own: scale, binding, eviction, approval, token, finalize."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from apiserver.api.authentication import TokenRequest
from apiserver.api.autoscaling import Scale
from apiserver.api.core.pod import Binding, PodCondition
from apiserver.api.errors import BadRequest, Conflict
from apiserver.api.fields import Causes
from apiserver.api.meta import DeleteOptions, Status
from apiserver.api.policy import Eviction
from apiserver.api.times import now_text
from apiserver.decode import convert_object, decode_object
from apiserver.registry.strategies.certificates import validate_approval
from apiserver.registry.strategies.pod_validation.updates import validate_ephemeral_update
from apiserver.registry.strategies.scale import apply_scale, scale_of
from apiserver.registry.table import table
from apiserver.storage import Stored, decode
from apiserver.verbs.answer import Answer, ValueAnswer
from apiserver.verbs.call import Call
from apiserver.verbs.deleting import Deleter, checked_options
from apiserver.verbs.patching import patch_of, patched, read_patch
from apiserver.verbs.reading import Reader
from apiserver.verbs.writing import Build, Change, Writer, conflict


def _body(call: Call, type_: type, kind: str) -> Any:
    decoded = decode_object(call.body, call.content_type, type_, strictness=call.strictness)
    for text in decoded.warnings:
        call.warn(text)
    if decoded.obj.kind not in ("", kind):
        raise BadRequest(f"the body must be a {kind}, not a {decoded.obj.kind}")
    name = decoded.obj.metadata.name
    if name and name != call.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.name})")
    Writer.check_place(call, decoded.obj.metadata)
    return decoded.obj


def _new_of(writer: Writer, call: Call) -> Build:
    """What a PUT or PATCH makes of the whole object, of which a subresource takes a part."""
    return patch_of(writer, call) if call.verb == "patch" else writer.replacement(call)


def _claims(old: Any, change: Change) -> None:
    """The old object is what is written; it must be the one that the client meant."""
    given = change.obj.metadata
    old.metadata.resource_version, old.metadata.uid = given.resource_version, given.uid


# --- scale ----------------------------------------------------------------------------------------------


async def get_scale(reader: Reader, call: Call) -> Answer:
    stored = await reader.get(call)
    return ValueAnswer(scale_of(decode(call.stored, stored)))


async def update_scale(writer: Writer, call: Call) -> Answer:
    """PUT or PATCH of a Scale: the object's replicas."""
    call.check_options()
    if call.verb == "patch":
        kind, patch = read_patch(call)

        def scale_for(old: Any) -> Scale:
            document = msgspec.to_builtins(scale_of(old))
            values = patched(kind, document, patch, Scale)
            found: Scale = convert_object(values, Scale, strictness=call.strictness).obj
            return found

    else:
        given = _body(call, Scale, "Scale")

        def scale_for(old: Any) -> Scale:
            return copy.deepcopy(given)  # type: ignore[no-any-return]

    def build(old: Any, _stored: Stored) -> Change:
        scale = scale_for(old)
        version = scale.metadata.resource_version
        obj = apply_scale(old, scale)
        obj.metadata.resource_version, obj.metadata.uid = version, scale.metadata.uid or old.metadata.uid
        return Change(obj, bool(version) and call.verb != "patch")

    answer = await writer.change(call, build)
    return ValueAnswer(scale_of(decode(call.stored, answer.stored)))


# --- pods -----------------------------------------------------------------------------------------------


async def bind_by_body(writer: Writer, call: Call) -> Answer:
    """POST of a Binding to `bindings`, the older way: its metadata names the pod."""
    name = writer.body(call, call.resource).metadata.name
    if not name:
        raise BadRequest("name is required: it is that of the pod")
    pods = table().of_key("pods")
    return await bind(
        writer, msgspec.structs.replace(call, resource=pods, stored=pods, name=name, subresource="binding")
    )


async def bind(writer: Writer, call: Call) -> Answer:
    """POST of a Binding: the pod goes to a node, once. What does not fit there is refused by its effect."""
    call.check_options()
    binding = _body(call, Binding, "Binding")
    target = binding.target
    causes = Causes()
    if target.kind not in ("", "Node"):
        causes.not_supported("target.kind", target.kind, ("Node", "<empty>"))
    if not target.name:
        causes.required("target.name")
    if causes:
        raise causes.error(kind="Binding", group="", name=call.name)

    def build(old: Any, _stored: Stored) -> Change:
        if old.metadata.deletion_timestamp is not None:
            raise conflict(call.resource, call.name, f"pod {call.name} is being deleted, cannot be assigned to a host")
        if old.spec.node_name:
            raise conflict(
                call.resource, call.name, f"pod {call.name} is already assigned to node {old.spec.node_name!r}"
            )
        if old.spec.scheduling_gates:
            raise conflict(call.resource, call.name, f"pod {call.name} has non-empty .spec.schedulingGates")
        old.spec.node_name = target.name
        old.metadata.annotations = {**old.metadata.annotations, **binding.metadata.annotations}
        old.metadata.labels = {**old.metadata.labels, **binding.metadata.labels}
        _set_condition(old.status.conditions, "PodScheduled", "True", now_text(writer.clock))
        old.metadata.resource_version = binding.metadata.resource_version
        old.metadata.uid = binding.metadata.uid or old.metadata.uid
        return Change(old, bool(binding.metadata.resource_version))

    await writer.change(call, build)
    return ValueAnswer(Status(status="Success"), 201)


def _set_condition(conditions: list[Any], type_: str, status: str, now: str) -> None:
    for condition in conditions:
        if condition.type == type_:
            if condition.status != status:
                condition.status, condition.last_transition_time = status, now
                condition.reason = condition.message = ""
            return
    conditions.append(PodCondition(type=type_, status=status, last_transition_time=now))


async def evict(deleter: Deleter, call: Call) -> Answer:
    """POST of an Eviction: a deletion that asks politely. Disruption budgets are not there yet, so it is granted."""
    call.check_options()
    eviction: Eviction = _body(call, Eviction, "Eviction")
    await deleter.delete(call, checked_options(call, eviction.delete_options or DeleteOptions()))
    return ValueAnswer(Status(status="Success"), 201)


async def add_ephemeral_containers(writer: Writer, call: Call) -> Answer:
    """PUT or PATCH of a pod's ephemeral containers: nothing else of the pod changes, and none goes away."""
    call.check_options()
    new_of = _new_of(writer, call)

    def narrowed(old: Any, stored: Stored) -> Change:
        change = new_of(old, stored)
        old.spec.ephemeral_containers = change.obj.spec.ephemeral_containers
        _claims(old, change)
        return Change(old, change.conditional, validate_ephemeral_update)

    return await writer.change(call, narrowed)


# --- others ---------------------------------------------------------------------------------------------


async def finalize(writer: Writer, call: Call) -> Answer:
    """PUT to namespaces/NAME/finalize: only the namespace's own finalizers."""
    call.check_options()
    new_of = _new_of(writer, call)

    def build(old: Any, stored: Stored) -> Change:
        change = new_of(old, stored)
        old.spec.finalizers = change.obj.spec.finalizers
        _claims(old, change)
        return Change(old, change.conditional)

    return await writer.change(call, build)


async def approve(writer: Writer, call: Call) -> Answer:
    """PUT or PATCH of the approval: only conditions. An approved request is signed in the same write."""
    call.check_options()
    new_of = _new_of(writer, call)

    def build(old: Any, stored: Stored) -> Change:
        before = copy.deepcopy(old)
        change = new_of(old, stored)
        now = now_text(writer.clock)
        for condition in change.obj.status.conditions:
            condition.last_update_time = condition.last_update_time or now
            condition.last_transition_time = condition.last_transition_time or now
        old.status.conditions = change.obj.status.conditions
        causes = Causes()
        validate_approval(old, before, causes)
        if causes:
            raise causes.error(kind=call.stored.kind, group=call.stored.group, name=call.name)
        _claims(old, change)
        return Change(old, change.conditional)

    return await writer.change(call, build)


async def request_token(writer: Writer, reader: Reader, issue: Callable[..., Awaitable[Any]], call: Call) -> Answer:
    """POST to serviceaccounts/NAME/token. A uid in it must be the account's."""
    call.check_options()
    request: TokenRequest = _body(call, TokenRequest, "TokenRequest")
    account = decode(call.stored, await reader.get(call))
    meta, of_account = request.metadata, account.metadata
    if meta.uid and meta.uid != of_account.uid:
        raise Conflict(
            f'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "{call.name}": the UID in the token '
            f"request ({meta.uid}) does not match the UID of the service account ({of_account.uid})",
            kind="TokenRequest",
            group="authentication.k8s.io",
            name=call.name,
        )
    meta.name, meta.uid = call.name, of_account.uid
    meta.creation_timestamp = now_text(writer.clock)
    await writer.admitted(writer.admission_for(call, request))
    return ValueAnswer(await issue(account, request, call.warn), 201)
