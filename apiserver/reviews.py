"""Kinds that are questions: the review that is posted comes back with its answer as status."""

from __future__ import annotations

from typing import Any

from apiserver.api.errors import MethodNotAllowed
from apiserver.auth import reviews
from apiserver.auth.authn import Authenticator, self_review
from apiserver.auth.authorizer import Authorizer
from apiserver.verbs.call import Call


class Reviews:
    """Answers every kind that only knows `create` and is never stored."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    async def __call__(self, call: Call, review: Any) -> Any:
        """Raises Invalid, BadRequest."""
        authorizer = self._authorizer
        spec: Any = getattr(review, "spec", None)
        match review.kind:
            case "TokenReview":
                review.status = await self._authenticator.review(spec.token, spec.audiences)
            case "SelfSubjectReview":
                review.status = self_review(call.user)
            case "SelfSubjectAccessReview":
                review.status = await reviews.self_access_review(authorizer, call.user, spec)
            case "SubjectAccessReview":
                review.status = await reviews.access_review(authorizer, spec)
            case "LocalSubjectAccessReview":
                review.status = await reviews.access_review(authorizer, spec, namespace=call.namespace)
            case "SelfSubjectRulesReview":
                review.status = reviews.rules_review(authorizer, call.user, spec.namespace)
            case _:
                raise MethodNotAllowed(f"{review.kind} is no review")
        return review
