"""TokenRequest: the `token` subresource of ServiceAccounts. Kubernetes' rules for what a token may be bound to.

Whether the asker may have the token at all is the authorizer's and admission's to say. A token bound to a pod is for
a pod of this very account; the node of the pod goes into the token too, so that a stolen one tells where from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from apiserver.api.authentication import BoundObjectReference, TokenRequest, TokenRequestStatus
from apiserver.api.errors import BadRequest, Conflict, NotFound
from apiserver.api.fields import Causes
from apiserver.api.times import now_text

from .service_accounts import LIFETIME_DEFAULT_S, LIFETIME_MIN_S, Reference, ServiceAccountTokens

if TYPE_CHECKING:
    from apiserver.admission.plugin import Lookup

AUDIENCES_MAX = 64
AUDIENCE_CHARACTERS_MAX = 1024
#: Kinds a token may be bound to: their resource, and where they lie.
_BOUND_KINDS = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


async def answer_token_request(
    tokens: ServiceAccountTokens,
    lookup: Lookup,
    account: Any,
    request: TokenRequest,
    warn: Callable[[str], None] = lambda text: None,
) -> TokenRequest:
    """The request with its token in `status`. Raises Invalid, BadRequest, NotFound, Conflict."""
    _validate(request, account.metadata.name)
    spec = request.spec
    lifetime_s = LIFETIME_DEFAULT_S if spec.expiration_seconds is None else spec.expiration_seconds
    if lifetime_s > tokens.lifetime_max_s:
        warn(f"requested expiration of {lifetime_s} seconds shortened to {tokens.lifetime_max_s} seconds")
        lifetime_s = tokens.lifetime_max_s
    bound = await _bound_objects(lookup, account, spec.bound_object_ref) if spec.bound_object_ref else {}
    audiences = spec.audiences or list(tokens.api_audiences)
    issued = tokens.issue(account, audiences=audiences, lifetime_s=lifetime_s, **bound)
    spec = msgspec.structs.replace(spec, audiences=audiences, expiration_seconds=lifetime_s)
    ends_at = now_text(lambda: issued.expires_at_s)
    status = TokenRequestStatus(token=issued.token, expiration_timestamp=ends_at)
    return msgspec.structs.replace(request, spec=spec, status=status)


def _validate(request: TokenRequest, name: str) -> None:
    causes = Causes()
    seconds = request.spec.expiration_seconds
    if seconds is not None and seconds < LIFETIME_MIN_S:
        causes.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds is not None and seconds > 1 << 32:
        causes.invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    audiences = request.spec.audiences
    if len(audiences) > AUDIENCES_MAX:
        causes.too_many("spec.audiences", len(audiences), AUDIENCES_MAX)
    for index, audience in enumerate(audiences[:AUDIENCES_MAX]):
        if len(audience) > AUDIENCE_CHARACTERS_MAX:
            causes.too_long(f"spec.audiences[{index}]", AUDIENCE_CHARACTERS_MAX, unit="characters")
    reference = request.spec.bound_object_ref
    if reference is not None and not reference.name:
        causes.required("spec.boundObjectRef.name")
    if causes:
        raise causes.error(kind="TokenRequest", group="authentication.k8s.io", name=name)


async def _bound_objects(lookup: Lookup, account: Any, reference: BoundObjectReference) -> dict[str, Reference]:
    """Arguments for `issue`."""
    plural = _BOUND_KINDS.get(reference.kind)
    if plural is None or reference.api_version not in ("v1", ""):
        shown = f"{reference.api_version}, Kind={reference.kind}"
        raise BadRequest(f"cannot bind token to object of type {shown}: it must be a Pod, a Secret or a Node of v1")
    namespace = "" if plural == "nodes" else account.metadata.namespace
    found = await _find(lookup, plural, namespace, reference)
    held = Reference(name=reference.name, uid=found.metadata.uid)
    if plural == "secrets":
        return {"secret": held}
    if plural == "nodes":
        return {"node": held}
    wanted, used = account.metadata.name, found.spec.service_account_name
    if used != wanted:
        raise BadRequest(f'cannot bind token for serviceaccount "{wanted}" to a pod that runs as "{used}"')
    node_name = found.spec.node_name
    if not node_name:
        return {"pod": held}
    node = await lookup.get("nodes", "", node_name)
    return {"pod": held, "node": Reference(name=node_name, uid=node.metadata.uid if node else "")}


async def _find(lookup: Lookup, plural: str, namespace: str, reference: BoundObjectReference) -> Any:
    """Local first; before a refusal, what the whole cluster knows."""
    for linearizable in (False, True):
        found = await lookup.get(plural, namespace, reference.name, linearizable=linearizable)
        if found is not None and reference.uid in ("", found.metadata.uid):
            return found
    if found is None:
        raise NotFound(f'{plural} "{reference.name}" not found', kind=plural, name=reference.name)
    raise Conflict(
        f'Operation cannot be fulfilled on {plural} "{reference.name}": the UID in the bound object reference '
        f"({reference.uid}) does not match the UID in record ({found.metadata.uid}): it may have been deleted and "
        f"created again",
        kind=plural,
        name=reference.name,
    )
