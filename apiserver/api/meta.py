"""meta/v1: what all objects have in common, lists, options and the answer to a failed request."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from .base import Int64, Object, StringMap, Time, always, merge_by, merge_values


class OwnerReference(Object):
    """Names an object this one belongs to, in the same namespace or of cluster scope.

    api_version: API version of the owner.
    kind: Kind of the owner.
    name: Name of the owner.
    uid: UID of the owner; another object of the same name is not the owner.
    controller: True for the one owner that manages this object.
    block_owner_deletion: True when the owner stays until this object is gone (foreground deletion).
    """

    api_version: str = always("")
    kind: str = always("")
    name: str = always("")
    uid: str = always("")
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ManagedFieldsEntry(Object):
    """Which manager set which fields. Kept as it is given; kmini does not track managers yet.

    manager: Name of the manager.
    operation: Apply or Update.
    api_version: Version the fields are named in.
    time: When the entry was written.
    fields_type: Format of fields_v1.
    fields_v1: The set of fields.
    subresource: Subresource the fields were written through.
    """

    manager: str = ""
    operation: str = ""
    api_version: str = ""
    time: Time | None = None
    fields_type: str = ""
    fields_v1: dict[str, Any] | None = msgspec.field(default=None, name="fieldsV1")
    subresource: str = ""


class ObjectMeta(Object):
    """Identity and bookkeeping that every object has.

    name: Name, unique for its kind in its namespace; cannot be changed.
    generate_name: Prefix from which the server makes a unique name when none is given.
    namespace: Namespace the object lies in; empty for objects of cluster scope.
    self_link: Not set any more.
    uid: Unique in time and space; set by the server.
    resource_version: Store revision of the last change; compare it for equality only.
    generation: Counts the changes of the desired state; set by the server.
    creation_timestamp: When the object was created; set by the server.
    deletion_timestamp: When the object will be gone; set by the server when deletion is asked for.
    deletion_grace_period_seconds: Seconds the object has to end by itself.
    labels: Keys and values that selectors match.
    annotations: Keys and values for tools and people; no selector sees them.
    owner_references: Objects this one belongs to; when all are gone it is collected.
    finalizers: Must be empty before the object is removed.
    managed_fields: Which manager set which fields.
    """

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    self_link: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: Int64 = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    deletion_grace_period_seconds: Int64 | None = None
    labels: StringMap = {}
    annotations: StringMap = {}
    owner_references: Annotated[list[OwnerReference], merge_by("uid")] = []
    finalizers: Annotated[list[str], merge_values()] = []
    managed_fields: list[ManagedFieldsEntry] = []


class TopObject(Object):
    """An object with a kind of its own: what is stored, sent and named in manifests.

    api_version: Group and version of the kind, as in `apps/v1`; `v1` for the core group.
    kind: Name of the kind.
    metadata: Identity and bookkeeping.
    """

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


class ListMeta(Object):
    """Bookkeeping of a list.

    self_link: Not set any more.
    resource_version: Store revision the list shows; a watch can start from it.
    continue_: Token for the next page; empty on the last one.
    remaining_item_count: How many items follow this page, when that is known.
    """

    self_link: str = ""
    resource_version: str = ""
    continue_: str = ""
    remaining_item_count: Int64 | None = None


class LabelSelectorRequirement(Object):
    """One condition of a label selector.

    key: Label the condition is about.
    operator: In, NotIn, Exists or DoesNotExist.
    values: Values for In and NotIn; empty for the others.
    """

    key: str = always("")
    operator: str = always("")
    values: list[str] = []


class LabelSelector(Object):
    """Selects objects by their labels; all conditions must hold, an empty selector selects everything.

    match_labels: Labels that must have just these values.
    match_expressions: Conditions on labels.
    """

    match_labels: StringMap = {}
    match_expressions: list[LabelSelectorRequirement] = []


class Condition(Object):
    """One aspect of an object's state.

    type: Name of the aspect.
    status: True, False or Unknown.
    observed_generation: Generation the condition was worked out from.
    last_transition_time: When the status changed last.
    reason: One word for programs.
    message: A sentence for people.
    """

    type: str = always("")
    status: str = always("")
    observed_generation: Int64 = 0
    last_transition_time: Time | None = None
    reason: str = always("")
    message: str = always("")


class Preconditions(Object):
    """What must hold for a deletion to happen.

    uid: UID the object must have.
    resource_version: Resource version the object must have.
    """

    uid: str | None = None
    resource_version: str | None = None


class DeleteOptions(Object):
    """How an object is deleted.

    api_version: API version of these options.
    kind: DeleteOptions.
    grace_period_seconds: Seconds the object has to end by itself; 0 removes it at once.
    preconditions: What must hold for the deletion to happen.
    orphan_dependents: Older form of propagation_policy.
    propagation_policy: Orphan, Background or Foreground: what happens to dependents.
    dry_run: `All` runs every check and changes nothing.
    ignore_store_read_error_with_cluster_breaking_potential: Not supported; refused when true.
    """

    api_version: str = ""
    kind: str = ""
    grace_period_seconds: Int64 | None = None
    preconditions: Preconditions | None = None
    orphan_dependents: bool | None = None
    propagation_policy: str | None = None
    dry_run: list[str] = []
    ignore_store_read_error_with_cluster_breaking_potential: bool | None = None


class StatusCause(Object):
    """One reason why a request failed.

    reason: Word for programs, such as FieldValueInvalid.
    message: What is wrong.
    field: Path of the field, such as spec.containers[0].name.
    """

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Object):
    """What a failed request was about.

    name: Name of the object.
    group: Group of the object.
    kind: Kind or resource of the object.
    uid: UID of the object.
    causes: Every single reason.
    retry_after_seconds: Seconds to wait before the request is sent again.
    """

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: list[StatusCause] = []
    retry_after_seconds: int = 0


class Status(Object):
    """The answer to a request that has no object to answer with, failed ones above all.

    api_version: v1.
    kind: Status.
    metadata: Bookkeeping of a list; empty.
    status: Success or Failure.
    message: What happened, for people.
    reason: What happened, in a word for programs.
    details: What the request was about.
    code: HTTP status code.
    """

    api_version: str = always("v1")
    kind: str = always("Status")
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    status: str = ""
    message: str = ""
    reason: str = ""
    details: StatusDetails | None = None
    code: int = 0
