"""The rules of metadata, the same for all kinds, and of what kinds share: labels, annotations, selectors, conditions.

Rules and words are those of k8s.io/apimachinery/pkg/api/validation. Every function adds what is broken to `causes`
and goes on; none changes what it looks at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from .fields import Causes
from .meta import Condition, LabelSelector, LabelSelectorRequirement, ManagedFieldsEntry, ObjectMeta, OwnerReference
from .names import NameRule, is_dns_label, is_label_value, is_qualified_name
from .times import is_time

IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"
ANNOTATIONS_BYTES_MAX = 256 * 1024
MANAGER_CHARACTERS_MAX = 128
SUBRESOURCE_CHARACTERS_MAX = 256
REASON_CHARACTERS_MAX = 1024
MESSAGE_CHARACTERS_MAX = 32 * 1024

ORPHAN_FINALIZER = "orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"
_STANDARD_FINALIZERS = frozenset({"kubernetes", ORPHAN_FINALIZER, FOREGROUND_FINALIZER})

_reason_re = re.compile("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_REASON_RULE = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
    "'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is "
    f"'{_reason_re.pattern}')"
)


def validate_metadata(
    meta: ObjectMeta, causes: Causes, *, namespaced: bool, name_rule: NameRule, path: str = "metadata"
) -> None:
    """The rules of a whole ObjectMeta, for create and update, once the name has been generated."""
    _validate_name(meta, causes, name_rule, path)
    _validate_namespace(meta.namespace, causes, f"{path}.namespace", namespaced=namespaced)
    if meta.generation < 0:
        causes.invalid(f"{path}.generation", meta.generation, NEGATIVE)
    validate_labels(meta.labels, causes, f"{path}.labels")
    validate_annotations(meta.annotations, causes, f"{path}.annotations")
    validate_owner_references(meta.owner_references, causes, f"{path}.ownerReferences")
    validate_finalizers(meta.finalizers, causes, f"{path}.finalizers")
    _validate_managed_fields(meta.managed_fields, causes, f"{path}.managedFields")


def validate_metadata_update(
    new: ObjectMeta, old: ObjectMeta, causes: Causes, *, path: str = "metadata", version_required: bool = False
) -> None:
    """The rules of the change alone; the new metadata as a whole is for `validate_metadata`.

    What an update may leave out (uid, timestamps) is carried over from the old object before. `version_required`:
    the kind has no unconditional update.
    """
    if old.deletion_timestamp is not None:
        _validate_no_new_finalizers(new.finalizers, old.finalizers, causes, f"{path}.finalizers")
    if version_required and not new.resource_version:
        causes.invalid(f"{path}.resourceVersion", new.resource_version, "must be specified for an update")
    if new.generation < old.generation:
        causes.invalid(f"{path}.generation", new.generation, "must not be decremented")
    validate_immutable(new.name, old.name, causes, f"{path}.name")
    validate_immutable(new.namespace, old.namespace, causes, f"{path}.namespace")
    validate_immutable(new.uid, old.uid, causes, f"{path}.uid")
    validate_immutable(new.creation_timestamp, old.creation_timestamp, causes, f"{path}.creationTimestamp")
    validate_immutable(new.deletion_timestamp, old.deletion_timestamp, causes, f"{path}.deletionTimestamp")
    validate_immutable(
        new.deletion_grace_period_seconds,
        old.deletion_grace_period_seconds,
        causes,
        f"{path}.deletionGracePeriodSeconds",
    )


def validate_immutable(new: object, old: object, causes: Causes, path: str) -> None:
    if new != old:
        causes.invalid(path, new, IMMUTABLE)


def check(rule: Callable[[str], Iterable[str]], value: str, causes: Causes, path: str) -> None:
    """Adds what a rule of `names` finds wrong with a value."""
    for message in rule(value):
        causes.invalid(path, value, message)


def _validate_name(meta: ObjectMeta, causes: Causes, name_rule: NameRule, path: str) -> None:
    if meta.generate_name:
        for message in name_rule(meta.generate_name, prefix=True):
            causes.invalid(f"{path}.generateName", meta.generate_name, message)
    if meta.name:
        check(name_rule, meta.name, causes, f"{path}.name")
    else:
        causes.required(f"{path}.name", "name or generateName is required")


def _validate_namespace(namespace: str, causes: Causes, path: str, *, namespaced: bool) -> None:
    if not namespaced:
        if namespace:
            causes.forbidden(path, "not allowed on this type")
    elif namespace:
        check(is_dns_label, namespace, causes, path)
    else:
        causes.required(path)


def validate_labels(labels: Mapping[str, str], causes: Causes, path: str) -> None:
    for key, value in labels.items():
        check(is_qualified_name, key, causes, path)
        check(is_label_value, value, causes, path)


def validate_annotations(annotations: Mapping[str, str], causes: Causes, path: str) -> None:
    """Keys as labels, but in any case; values are free. Together they have a limit."""
    size = 0
    for key, value in annotations.items():
        size += len(key.encode()) + len(value.encode())
        for message in is_qualified_name(key.lower()):
            causes.invalid(path, key, message)
    if size > ANNOTATIONS_BYTES_MAX:
        causes.too_long(path, ANNOTATIONS_BYTES_MAX)


def validate_owner_references(owners: Sequence[OwnerReference], causes: Causes, path: str) -> None:
    controller = ""
    for index, owner in enumerate(owners):
        _validate_owner_reference(owner, causes, f"{path}[{index}]")
        if not owner.controller:
            continue
        name = f"{owner.kind}/{owner.name}"
        if controller:
            causes.invalid(
                path,
                owners,
                "Only one reference can have Controller set to true. "
                f'Found "true" in references for {controller} and {name}',
            )
        else:
            controller = name


def _validate_owner_reference(owner: OwnerReference, causes: Causes, path: str) -> None:
    if not owner.api_version:
        causes.required(f"{path}.apiVersion", "must not be empty")
    elif owner.api_version.count("/") > 1 or owner.api_version.endswith("/"):
        causes.invalid(f"{path}.apiVersion", owner.api_version, "must be <group>/<version> or <version>")
    for name, value in (("kind", owner.kind), ("name", owner.name), ("uid", owner.uid)):
        if not value:
            causes.required(f"{path}.{name}", "must not be empty")
    if (owner.api_version, owner.kind) == ("v1", "Event"):
        causes.invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner")


def validate_finalizers(finalizers: Sequence[str], causes: Causes, path: str) -> None:
    for index, finalizer in enumerate(finalizers):
        check(is_qualified_name, finalizer, causes, path)
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            rule = "name is neither a standard finalizer name nor is it fully qualified"
            causes.invalid(f"{path}[{index}]", finalizer, rule)
    if ORPHAN_FINALIZER in finalizers and FOREGROUND_FINALIZER in finalizers:
        causes.invalid(path, finalizers, f"finalizer {ORPHAN_FINALIZER} and {FOREGROUND_FINALIZER} cannot be both set")


def _validate_no_new_finalizers(new: Sequence[str], old: Sequence[str], causes: Causes, path: str) -> None:
    extra = sorted(set(new) - set(old))
    if extra:
        shown = ", ".join(f'"{each}"' for each in extra)
        causes.forbidden(
            path,
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}",
        )


def _validate_managed_fields(entries: Sequence[ManagedFieldsEntry], causes: Causes, path: str) -> None:
    for index, entry in enumerate(entries):
        at = f"{path}[{index}]"
        if entry.operation not in ("Apply", "Update"):
            causes.invalid(f"{at}.operation", entry.operation, "must be `Apply` or `Update`")
        if entry.fields_type not in ("", "FieldsV1"):
            causes.invalid(f"{at}.fieldsType", entry.fields_type, "must be `FieldsV1`")
        if len(entry.manager) > MANAGER_CHARACTERS_MAX:
            causes.too_long(f"{at}.manager", MANAGER_CHARACTERS_MAX)
        if not entry.manager.isprintable():
            causes.invalid(f"{at}.manager", entry.manager, "should only contain printable characters")
        if len(entry.subresource) > SUBRESOURCE_CHARACTERS_MAX:
            causes.too_long(f"{at}.subresource", SUBRESOURCE_CHARACTERS_MAX)
        if entry.time is not None:
            check(is_time, entry.time, causes, f"{at}.time")


def validate_label_selector(selector: LabelSelector | None, causes: Causes, path: str) -> None:
    if selector is None:
        return
    validate_labels(selector.match_labels, causes, f"{path}.matchLabels")
    for index, requirement in enumerate(selector.match_expressions):
        _validate_requirement(requirement, causes, f"{path}.matchExpressions[{index}]")


def _validate_requirement(requirement: LabelSelectorRequirement, causes: Causes, path: str) -> None:
    if requirement.operator in ("In", "NotIn"):
        if not requirement.values:
            causes.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif requirement.operator in ("Exists", "DoesNotExist"):
        if requirement.values:
            causes.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    else:
        causes.invalid(f"{path}.operator", requirement.operator, "not a valid selector operator")
    check(is_qualified_name, requirement.key, causes, f"{path}.key")
    for index, value in enumerate(requirement.values):
        check(is_label_value, value, causes, f"{path}.values[{index}]")


def validate_conditions(conditions: Sequence[Condition], causes: Causes, path: str) -> None:
    """The rules of meta/v1 conditions, for kinds that use them in Kubernetes' strict form."""
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        if condition.type in seen:
            causes.duplicate(f"{path}[{index}].type", condition.type)
        seen.add(condition.type)
        _validate_condition(condition, causes, f"{path}[{index}]")


def _validate_condition(condition: Condition, causes: Causes, path: str) -> None:
    check(is_qualified_name, condition.type, causes, f"{path}.type")
    if condition.status not in ("True", "False", "Unknown"):
        causes.not_supported(f"{path}.status", condition.status, ("True", "False", "Unknown"))
    if condition.observed_generation < 0:
        causes.invalid(
            f"{path}.observedGeneration", condition.observed_generation, "must be greater than or equal to zero"
        )
    if condition.last_transition_time is None:
        causes.required(f"{path}.lastTransitionTime", "must be set")
    else:
        check(is_time, condition.last_transition_time, causes, f"{path}.lastTransitionTime")
    if not condition.reason:
        causes.required(f"{path}.reason", "must be set")
    elif not _reason_re.fullmatch(condition.reason):
        causes.invalid(f"{path}.reason", condition.reason, _REASON_RULE)
    if len(condition.reason) > REASON_CHARACTERS_MAX:
        causes.too_long(f"{path}.reason", REASON_CHARACTERS_MAX)
    if len(condition.message) > MESSAGE_CHARACTERS_MAX:
        causes.too_long(f"{path}.message", MESSAGE_CHARACTERS_MAX)
