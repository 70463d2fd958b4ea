"""authorization.k8s.io/v1: questions about who may do what. Never stored."""

from __future__ import annotations

import msgspec

from .base import Object, always
from .meta import LabelSelectorRequirement, TopObject


class FieldSelectorRequirement(Object):
    """One condition of a field selector.

    key: Field the condition is about.
    operator: In, NotIn, Exists or DoesNotExist.
    values: Values for In and NotIn; empty for the others.
    """

    key: str = always("")
    operator: str = always("")
    values: list[str] = []


class FieldSelectorAttributes(Object):
    """The field selector of a request, as text or in parts.

    raw_selector: The selector as text.
    requirements: The selector in parts.
    """

    raw_selector: str = ""
    requirements: list[FieldSelectorRequirement] = []


class LabelSelectorAttributes(Object):
    """The label selector of a request, as text or in parts.

    raw_selector: The selector as text.
    requirements: The selector in parts.
    """

    raw_selector: str = ""
    requirements: list[LabelSelectorRequirement] = []


class ResourceAttributes(Object):
    """A request for a resource. `*` stands for all.

    namespace: Namespace; empty is all of them, or none for resources of cluster scope.
    verb: What is to be done, as in get or create.
    group: Group of the resource.
    version: Version of the resource.
    resource: Resource by plural name.
    subresource: Subresource; empty is none.
    name: Name of the object; empty is all.
    field_selector: Field selector of the request.
    label_selector: Label selector of the request.
    """

    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    field_selector: FieldSelectorAttributes | None = None
    label_selector: LabelSelectorAttributes | None = None


class NonResourceAttributes(Object):
    """A request for a path that is no resource.

    path: Path of the request.
    verb: HTTP method in lower case.
    """

    path: str = ""
    verb: str = ""


class SubjectAccessReviewSpec(Object):
    """The question: may this user do that.

    resource_attributes: A request for a resource; either this or nonResourceAttributes.
    non_resource_attributes: A request for a path that is no resource.
    user: Name of the user.
    groups: Groups the user is in.
    extra: Further attributes of the user.
    uid: UID of the user.
    """

    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None
    user: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    uid: str = ""


class SubjectAccessReviewStatus(Object):
    """The answer.

    allowed: True when the request would be allowed.
    denied: True when it would be refused for good.
    reason: Why.
    evaluation_error: What went wrong while it was worked out; the answer may still be right.
    """

    allowed: bool = always(False)
    denied: bool = False
    reason: str = ""
    evaluation_error: str = ""


class SubjectAccessReview(TopObject):
    """Asks whether a user may do something.

    spec: The question.
    status: The answer.
    """

    spec: SubjectAccessReviewSpec = msgspec.field(default_factory=SubjectAccessReviewSpec)
    status: SubjectAccessReviewStatus = msgspec.field(default_factory=SubjectAccessReviewStatus)


class LocalSubjectAccessReview(TopObject):
    """Asks whether a user may do something in one namespace.

    spec: The question; its namespace is the one it is posted to.
    status: The answer.
    """

    spec: SubjectAccessReviewSpec = msgspec.field(default_factory=SubjectAccessReviewSpec)
    status: SubjectAccessReviewStatus = msgspec.field(default_factory=SubjectAccessReviewStatus)


class SelfSubjectAccessReviewSpec(Object):
    """The question: may I do that.

    resource_attributes: A request for a resource; either this or nonResourceAttributes.
    non_resource_attributes: A request for a path that is no resource.
    """

    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None


class SelfSubjectAccessReview(TopObject):
    """Asks whether I may do something.

    spec: The question.
    status: The answer.
    """

    spec: SelfSubjectAccessReviewSpec = msgspec.field(default_factory=SelfSubjectAccessReviewSpec)
    status: SubjectAccessReviewStatus = msgspec.field(default_factory=SubjectAccessReviewStatus)


class ResourceRule(Object):
    """Verbs that are allowed on resources. `*` stands for all.

    verbs: What may be done.
    api_groups: Groups of the resources.
    resources: Resources by plural name, `pods/log` for a subresource.
    resource_names: Only objects of these names; empty is all.
    """

    verbs: list[str] = always([])
    api_groups: list[str] = []
    resources: list[str] = []
    resource_names: list[str] = []


class NonResourceRule(Object):
    """Verbs that are allowed on paths that are no resource. `*` stands for all.

    verbs: What may be done.
    non_resource_urls: The paths; `*` at the end stands for all below.
    """

    verbs: list[str] = always([])
    non_resource_urls: list[str] = []


class SubjectRulesReviewStatus(Object):
    """What is allowed.

    resource_rules: What is allowed on resources.
    non_resource_rules: What is allowed on other paths.
    incomplete: True when there may be more than is listed.
    evaluation_error: What went wrong while it was worked out.
    """

    resource_rules: list[ResourceRule] = always([])
    non_resource_rules: list[NonResourceRule] = always([])
    incomplete: bool = always(False)
    evaluation_error: str = ""


class SelfSubjectRulesReviewSpec(Object):
    """Where.

    namespace: Namespace to list the rules for.
    """

    namespace: str = ""


class SelfSubjectRulesReview(TopObject):
    """Asks what I may do in a namespace.

    spec: Where.
    status: What is allowed.
    """

    spec: SelfSubjectRulesReviewSpec = msgspec.field(default_factory=SelfSubjectRulesReviewSpec)
    status: SubjectRulesReviewStatus = msgspec.field(default_factory=SubjectRulesReviewStatus)
