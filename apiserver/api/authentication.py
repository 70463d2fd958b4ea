"""authentication.k8s.io/v1: questions about who somebody is, and tokens for service accounts. Never stored."""

from __future__ import annotations

import msgspec

from .base import Int64, Object, Time, always
from .meta import TopObject


class UserInfo(Object):
    """Who somebody is.

    username: Name of the user.
    uid: UID of the user; another user of the same name is not the same.
    groups: Groups the user is in.
    extra: Further attributes.
    """

    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class TokenReviewSpec(Object):
    """The token to look at.

    token: The token.
    audiences: Whom the token should be for; the API server when empty.
    """

    token: str = ""
    audiences: list[str] = []

    def __repr__(self) -> str:
        """Without the token: a repr ends in logs."""
        return f"TokenReviewSpec(audiences={self.audiences})"


class TokenReviewStatus(Object):
    """Whose the token is.

    authenticated: True when the token is good.
    user: Whose it is.
    audiences: Asked-for audiences the token is for.
    error: Why it could not be checked.
    """

    authenticated: bool = False
    user: UserInfo = msgspec.field(default_factory=UserInfo)
    audiences: list[str] = []
    error: str = ""


class TokenReview(TopObject):
    """Asks whose a token is.

    spec: The token to look at.
    status: Whose the token is.
    """

    spec: TokenReviewSpec = msgspec.field(default_factory=TokenReviewSpec)
    status: TokenReviewStatus = msgspec.field(default_factory=TokenReviewStatus)


class BoundObjectReference(Object):
    """The object a token lives and dies with.

    kind: Pod, Secret or Node.
    api_version: v1.
    name: Name of the object.
    uid: UID of the object.
    """

    kind: str = ""
    api_version: str = ""
    name: str = ""
    uid: str = ""


class TokenRequestSpec(Object):
    """What the token should be.

    audiences: Whom the token is for; the API server when empty.
    expiration_seconds: Seconds the token is valid; 3600 when left out, 600 at least.
    bound_object_ref: Object the token lives and dies with.
    """

    audiences: list[str] = always([])
    expiration_seconds: Int64 | None = None
    bound_object_ref: BoundObjectReference | None = None


class TokenRequestStatus(Object):
    """The token.

    token: The token.
    expiration_timestamp: When it ends.
    """

    token: str = always("")
    expiration_timestamp: Time | None = None

    def __repr__(self) -> str:
        """Without the token: a repr ends in logs."""
        return f"TokenRequestStatus(expiration_timestamp={self.expiration_timestamp!r})"


class TokenRequest(TopObject):
    """Asks for a token of a service account. Posted to the account's token subresource.

    spec: What the token should be.
    status: The token.
    """

    spec: TokenRequestSpec = msgspec.field(default_factory=TokenRequestSpec)
    status: TokenRequestStatus = msgspec.field(default_factory=TokenRequestStatus)


class SelfSubjectReviewStatus(Object):
    """Who asks.

    user_info: Who asks.
    """

    user_info: UserInfo = msgspec.field(default_factory=UserInfo)


class SelfSubjectReview(TopObject):
    """Asks who I am to the server.

    status: Who asks.
    """

    status: SelfSubjectReviewStatus = msgspec.field(default_factory=SelfSubjectReviewStatus)
