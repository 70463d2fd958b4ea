"""Kinds that are questions: they are answered at once and never stored. Here only what a question must look like."""

from __future__ import annotations

import msgspec

from apiserver.api.authentication import SelfSubjectReview, TokenRequest, TokenReview
from apiserver.api.authorization import (
    FieldSelectorAttributes,
    LabelSelectorAttributes,
    LocalSubjectAccessReview,
    NonResourceAttributes,
    ResourceAttributes,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from apiserver.api.errors import BadRequest
from apiserver.api.fields import Causes
from apiserver.api.meta import ObjectMeta
from apiserver.registry.strategy import Strategy

TOKEN_SECONDS = 3600
TOKEN_SECONDS_MIN = 600
TOKEN_SECONDS_MAX = 2**32


class TokenReviewStrategy(Strategy[TokenReview]):
    def validate(self, obj: TokenReview, causes: Causes) -> None:
        """Raises BadRequest without a token, as Kubernetes does."""
        if not obj.spec.token:
            raise BadRequest("token is required for TokenReview in authentication")


class TokenRequestStrategy(Strategy[TokenRequest]):
    def default(self, obj: TokenRequest) -> None:
        if obj.spec.expiration_seconds is None:
            obj.spec.expiration_seconds = TOKEN_SECONDS

    def validate(self, obj: TokenRequest, causes: Causes) -> None:
        seconds = obj.spec.expiration_seconds or 0
        if seconds < TOKEN_SECONDS_MIN:
            causes.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        elif seconds > TOKEN_SECONDS_MAX:
            causes.invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")


class SubjectAccessReviewStrategy(Strategy[SubjectAccessReview]):
    def validate(self, obj: SubjectAccessReview, causes: Causes) -> None:
        _validate_question(obj.spec, causes)
        _validate_no_metadata(obj.metadata, causes)


class LocalSubjectAccessReviewStrategy(Strategy[LocalSubjectAccessReview]):
    def validate(self, obj: LocalSubjectAccessReview, causes: Causes) -> None:
        _validate_question(obj.spec, causes)
        _validate_no_metadata(msgspec.structs.replace(obj.metadata, namespace=""), causes)
        attributes = obj.spec.resource_attributes
        if attributes is not None and attributes.namespace != obj.metadata.namespace:
            path = "spec.resourceAttributes.namespace"
            causes.invalid(path, attributes.namespace, "must match metadata.namespace")
        if obj.spec.non_resource_attributes is not None:
            causes.invalid(
                "spec.nonResourceAttributes",
                obj.spec.non_resource_attributes,
                "disallowed on this kind of request",
            )


class SelfSubjectAccessReviewStrategy(Strategy[SelfSubjectAccessReview]):
    def validate(self, obj: SelfSubjectAccessReview, causes: Causes) -> None:
        _validate_one(obj.spec.resource_attributes, obj.spec.non_resource_attributes, causes)
        _validate_no_metadata(obj.metadata, causes)


class SelfSubjectRulesReviewStrategy(Strategy[SelfSubjectRulesReview]):
    def validate(self, obj: SelfSubjectRulesReview, causes: Causes) -> None:
        """Raises BadRequest without a namespace, as Kubernetes does."""
        if not obj.spec.namespace:
            raise BadRequest("no namespace on request")


TOKEN_REVIEW = TokenReviewStrategy()
TOKEN_REQUEST = TokenRequestStrategy()
SELF_SUBJECT_REVIEW: Strategy[SelfSubjectReview] = Strategy()
SUBJECT_ACCESS_REVIEW = SubjectAccessReviewStrategy()
LOCAL_SUBJECT_ACCESS_REVIEW = LocalSubjectAccessReviewStrategy()
SELF_SUBJECT_ACCESS_REVIEW = SelfSubjectAccessReviewStrategy()
SELF_SUBJECT_RULES_REVIEW = SelfSubjectRulesReviewStrategy()


def _validate_question(spec: SubjectAccessReviewSpec, causes: Causes) -> None:
    _validate_one(spec.resource_attributes, spec.non_resource_attributes, causes)
    if not spec.user and not spec.groups:
        causes.invalid("spec.user", spec.user, "at least one of user or group must be specified")


def _validate_one(resource: ResourceAttributes | None, other: NonResourceAttributes | None, causes: Causes) -> None:
    if resource is not None and other is not None:
        causes.invalid(
            "spec.nonResourceAttributes", other, "cannot be specified in combination with resourceAttributes"
        )
    if resource is None and other is None:
        rule = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.invalid("spec.resourceAttributes", None, rule)
    if resource is None:
        return
    if resource.field_selector is not None:
        _validate_selector(resource.field_selector, causes, "spec.resourceAttributes.fieldSelector")
    if resource.label_selector is not None:
        _validate_selector(resource.label_selector, causes, "spec.resourceAttributes.labelSelector")


def _validate_selector(selector: FieldSelectorAttributes | LabelSelectorAttributes, causes: Causes, path: str) -> None:
    if selector.raw_selector and selector.requirements:
        causes.invalid(
            f"{path}.rawSelector", selector.raw_selector, "may not specified at the same time as requirements"
        )
    if not selector.raw_selector and not selector.requirements:
        causes.required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")


def _validate_no_metadata(meta: ObjectMeta, causes: Causes) -> None:
    """A review is about nothing that has a name. What the server adds to every new object does not count."""
    bare = msgspec.structs.replace(meta, uid="", creation_timestamp=None, generation=0, managed_fields=[])
    if bare != ObjectMeta():
        causes.invalid("metadata", bare, "must be empty")
