"""Answers to questions about rights: the four reviews of authorization.k8s.io.

A review asks the same authorizer that requests meet, so its answer is what would happen. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.api.authorization import (
    NonResourceRule,
    ResourceAttributes,
    ResourceRule,
    SelfSubjectAccessReviewSpec,
    SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
    SubjectRulesReviewStatus,
)
from apiserver.api.fields import Causes
from apiserver.api.rbac import PolicyRule
from apiserver.api.selectors import escape_field_value

from .authorizer import PUBLIC_PATHS, Authorizer
from .node_authorizer import node_name
from .rbac import is_master
from .rbac_rules import EVERYTHING
from .user import Attributes, User

GROUP = "authorization.k8s.io"


async def self_access_review(
    authorizer: Authorizer, user: User, spec: SelfSubjectAccessReviewSpec
) -> SubjectAccessReviewStatus:
    """Raises Invalid."""
    causes = Causes()
    _check_question(spec, causes)
    if causes:
        raise causes.error(kind="SelfSubjectAccessReview", group=GROUP, name="")
    return await _answer(authorizer, user, spec)


async def access_review(
    authorizer: Authorizer, spec: SubjectAccessReviewSpec, *, namespace: str | None = None
) -> SubjectAccessReviewStatus:
    """`namespace` is that of a LocalSubjectAccessReview, else None. Raises Invalid."""
    causes = Causes()
    _check_question(spec, causes)
    if not spec.user and not spec.groups:
        causes.invalid("spec.user", spec.user, "at least one of user or group must be specified")
    if namespace is not None:
        if spec.non_resource_attributes:
            causes.invalid("spec.nonResourceAttributes", "", "disallowed on this kind of request")
        elif spec.resource_attributes and spec.resource_attributes.namespace != namespace:
            found = spec.resource_attributes.namespace
            causes.invalid("spec.resourceAttributes.namespace", found, "must match metadata.namespace")
    if causes:
        kind = "SubjectAccessReview" if namespace is None else "LocalSubjectAccessReview"
        raise causes.error(kind=kind, group=GROUP, name="")
    extra = {key: tuple(values) for key, values in spec.extra.items()}
    user = User(name=spec.user, uid=spec.uid, groups=tuple(spec.groups), extra=extra)
    return await _answer(authorizer, user, spec)


def rules_review(authorizer: Authorizer, user: User, namespace: str) -> SubjectRulesReviewStatus:
    """What a user may do in a namespace; `incomplete` where rules alone do not say it."""
    found = authorizer.rbac.rules_for(user, namespace)
    rules, problems = list(found.rules), sorted(set(found.problems))
    if is_master(user):
        rules = list(EVERYTHING)
    rules.append(PolicyRule(verbs=["get"], non_resource_urls=sorted(PUBLIC_PATHS)))
    if node_name(user):
        problems.append("node authorizer does not support user rule resolution")
    return SubjectRulesReviewStatus(
        resource_rules=list(_resource_rules(rules)),
        non_resource_rules=[
            NonResourceRule(verbs=rule.verbs, non_resource_urls=rule.non_resource_urls)
            for rule in rules
            if rule.non_resource_urls
        ],
        incomplete=bool(problems),
        evaluation_error="; ".join(problems),
    )


def _resource_rules(rules: Iterable[PolicyRule]) -> Iterable[ResourceRule]:
    for rule in rules:
        if rule.resources:
            yield ResourceRule(
                verbs=rule.verbs,
                api_groups=rule.api_groups,
                resources=rule.resources,
                resource_names=rule.resource_names,
            )


def _check_question(spec: SelfSubjectAccessReviewSpec | SubjectAccessReviewSpec, causes: Causes) -> None:
    if (spec.resource_attributes is None) == (spec.non_resource_attributes is None):
        causes.invalid(
            "spec.resourceAttributes",
            None,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )


async def _answer(
    authorizer: Authorizer, user: User, spec: SelfSubjectAccessReviewSpec | SubjectAccessReviewSpec
) -> SubjectAccessReviewStatus:
    decision = await authorizer.authorize(user, _attributes(spec))
    return SubjectAccessReviewStatus(allowed=decision.allowed, reason=decision.reason)


def _attributes(spec: SelfSubjectAccessReviewSpec | SubjectAccessReviewSpec) -> Attributes:
    if spec.non_resource_attributes:
        return Attributes(verb=spec.non_resource_attributes.verb, path=spec.non_resource_attributes.path)
    asked = spec.resource_attributes or ResourceAttributes()
    return Attributes(
        verb=asked.verb,
        group=asked.group,
        version=asked.version,
        resource=asked.resource or "*",  # an empty one is no path: only a rule for all resources fits
        subresource=asked.subresource,
        namespace=asked.namespace,
        name=asked.name,
        field_selector=_field_selector(asked),
    )


def _field_selector(asked: ResourceAttributes) -> str:
    """Only what is demanded exactly; anything else in a selector never widens a right."""
    selector = asked.field_selector
    if selector is None:
        return ""
    if selector.raw_selector:
        return selector.raw_selector
    exact = [each for each in selector.requirements if each.operator == "In" and len(each.values) == 1]
    return ",".join(f"{each.key}={escape_field_value(each.values[0])}" for each in exact)
