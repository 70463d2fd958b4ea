"""Who asks: a client certificate first, then a bearer token, else the anonymous user.

Whoever shows something wrong is refused, never taken for anonymous: a person with an expired token must hear that.
Tokens are told apart by their form: those of the static file by look-up, `<id>.<secret>` is a bootstrap token, three
parts are a ServiceAccount's. TokenReview asks the same question for somebody else's token.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from apiserver.api.authentication import SelfSubjectReviewStatus, TokenReviewStatus, UserInfo
from apiserver.api.errors import BadRequest, Unauthorized

from .bootstrap_tokens import BootstrapTokens
from .join_token import parse_bootstrap_token
from .service_accounts import ServiceAccountTokens, VerifiedToken
from .static_tokens import StaticTokens
from .user import ANONYMOUS, GROUP_UNAUTHENTICATED, User
from .x509 import CertificateUsers

REMEMBERED_S = 1.0
REMEMBERED_MAX = 1_024
TOKEN_CHARACTERS_MAX = 16 * 1024
HEADER_CHARACTERS_MAX = TOKEN_CHARACTERS_MAX + 64
ANONYMOUS_USER = User(name=ANONYMOUS, groups=(GROUP_UNAUTHENTICATED,))


class Authenticator:
    """Ways that are None are off. Methods raise Unauthorized, or ServiceUnavailable when it cannot be known."""

    def __init__(
        self,
        *,
        certificates: CertificateUsers,
        service_accounts: ServiceAccountTokens | None = None,
        bootstrap: BootstrapTokens | None = None,
        static: StaticTokens | None = None,
        anonymous: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._certificates = certificates
        self._service_accounts = service_accounts
        self._bootstrap = bootstrap
        self._static = static
        self._anonymous = anonymous
        self._monotonic = monotonic
        self._recent: dict[str, User] = {}  # by header: who asks again and again is not looked up again
        self._recent_since_s = monotonic()

    async def authenticate(self, certificate_der: bytes | None, authorization: str | None) -> User:
        """`certificate_der`: the peer certificate that TLS verified; `authorization`: the header as it came."""
        refusal = None
        if certificate_der:
            try:
                return self._certificates.user(certificate_der)
            except Unauthorized as error:
                refusal = error  # a good token beside it still counts, as in Kubernetes
        if authorization:
            return await self._bearer(authorization)
        if refusal is not None:
            raise refusal
        if not self._anonymous:
            raise Unauthorized("anonymous requests are not allowed")
        return ANONYMOUS_USER

    def remembered(self, authorization: str) -> User | None:
        """Who showed this very header a moment ago, with no certificate beside it; None: `authenticate` knows."""
        now_s = self._monotonic()
        if now_s - self._recent_since_s > REMEMBERED_S:
            self._recent.clear()
            self._recent_since_s = now_s
        return self._recent.get(authorization)

    async def _bearer(self, authorization: str) -> User:
        """Remembered for REMEMBERED_S at most: that is how long a revoked token may still be good."""
        user = self.remembered(authorization)
        if user is None:
            user = (await self.verify_token(bearer_token(authorization))).user
            if len(self._recent) < REMEMBERED_MAX:
                self._recent[authorization] = user
        return user

    async def verify_token(self, token: str, audiences: Sequence[str] = ()) -> VerifiedToken:
        """Whose token it is. Only ServiceAccount tokens know audiences; others are for the API server alone."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise Unauthorized(f"the token is longer than {TOKEN_CHARACTERS_MAX} characters")
        api_audiences = self._service_accounts.api_audiences if self._service_accounts else ()
        meant = [audience for audience in audiences if audience in api_audiences] or list(api_audiences)
        static = self._static.user(token) if self._static else None
        if static is not None:
            return self._for_the_api(static, audiences, meant)
        bootstrap = parse_bootstrap_token(token)
        if bootstrap is not None and self._bootstrap is not None:
            return self._for_the_api(await self._bootstrap.user(bootstrap), audiences, meant)
        if token.count(".") == 2 and self._service_accounts is not None:
            return await self._service_accounts.verify(token, audiences)
        raise Unauthorized("invalid bearer token")

    def _for_the_api(self, user: User, audiences: Sequence[str], meant: list[str]) -> VerifiedToken:
        if audiences and not any(audience in meant for audience in audiences):
            raise Unauthorized(f"the token is for none of {list(audiences)}")
        return VerifiedToken(user, meant)

    async def review(self, token: str, audiences: Sequence[str] = ()) -> TokenReviewStatus:
        """Answer of a TokenReview: a bad token is an answer, not an error. Raises BadRequest for none at all."""
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        try:
            verified = await self.verify_token(token, audiences)
        except Unauthorized as error:
            return TokenReviewStatus(error=error.message)
        return TokenReviewStatus(authenticated=True, user=user_info(verified.user), audiences=verified.audiences)


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header. Raises Unauthorized for any other scheme."""
    if len(authorization) > HEADER_CHARACTERS_MAX:
        raise Unauthorized(f"the Authorization header is longer than {HEADER_CHARACTERS_MAX} characters")
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("the Authorization header must be `Bearer <token>`: no other way is known here")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Unauthorized("the bearer token has characters that no token has")
    return token


def user_info(user: User) -> UserInfo:
    """A user as the API shows it."""
    return UserInfo(
        username=user.name,
        uid=user.uid,
        groups=list(user.groups),
        extra={key: list(values) for key, values in user.extra.items()},
    )


def self_review(user: User) -> SelfSubjectReviewStatus:
    """Answer of a SelfSubjectReview."""
    return SelfSubjectReviewStatus(user_info=user_info(user))
