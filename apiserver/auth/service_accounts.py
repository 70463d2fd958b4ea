"""Tokens of ServiceAccounts: short-lived JWTs bound to an account and, mostly, to a pod; Kubernetes' format.

A token is good when one of our keys signed it, its times hold, it is for one of the audiences asked for, and the
account and the object it is bound to are still there under the same uid. Signatures are remembered, existence is not:
it is looked up again when the last look is older than RECHECK_AFTER_S, so a deletion revokes within that time. Before
a token is refused for a missing object the look-up is linearizable: this replica may not have applied the creation.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from apiserver.api.errors import Unauthorized
from apiserver.api.times import parse_time

from .bounded import BoundedCache
from .service_account_keys import ALGORITHM, ServiceAccountKeys
from .user import GROUP_AUTHENTICATED, GROUP_SERVICE_ACCOUNTS, SERVICE_ACCOUNT_PREFIX, User
from .x509 import CREDENTIAL_ID

if TYPE_CHECKING:
    from apiserver.admission.plugin import Lookup

LIFETIME_MIN_S = 600
LIFETIME_DEFAULT_S = 3600
LIFETIME_MAX_S = 365 * 24 * 3600
#: Clocks of replicas and clients differ; as Kubernetes. Also how long a deleted object's tokens live on.
LEEWAY_S = 60
RECHECK_AFTER_S = 2.0
CACHE_ENTRIES_MAX = 8192

_EXTRA = "authentication.kubernetes.io/"


class Reference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An object by name and uid, as claims carry it."""

    name: str
    uid: str = ""


class _Kubernetes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    namespace: str
    serviceaccount: Reference
    node: Reference | None = None
    pod: Reference | None = None
    secret: Reference | None = None
    warnafter: int | None = None


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload of a token; times in seconds since the epoch."""

    iss: str
    sub: str
    aud: list[str]
    exp: float
    iat: float
    nbf: float
    jti: str = ""
    kubernetes: _Kubernetes = msgspec.field(name="kubernetes.io")


class IssuedToken(NamedTuple):
    token: str
    expires_at_s: int

    def __repr__(self) -> str:
        return f"IssuedToken(expires_at_s={self.expires_at_s})"


class VerifiedToken(NamedTuple):
    """`audiences`: those asked for that the token is for."""

    user: User
    audiences: list[str]


class _Remembered(NamedTuple):
    claims: Claims
    user: User
    existed_at_s: float  # monotonic


class ServiceAccountTokens:
    """Issues and verifies. `keys` may be replaced at any time (rotation).

    `issuers`: the first one issues, all are accepted. `api_audiences`: whom a token is for when nothing is said;
    default: the issuer. `clock` is wall-clock, `monotonic` for intervals; both in seconds.
    """

    def __init__(
        self,
        keys: ServiceAccountKeys,
        lookup: Lookup,
        *,
        issuers: Sequence[str],
        api_audiences: Sequence[str] = (),
        lifetime_max_s: int = LIFETIME_MAX_S,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuers = tuple(issuers)
        self.api_audiences = tuple(api_audiences) or self.issuers[:1]
        self.lifetime_max_s = max(LIFETIME_MIN_S, lifetime_max_s)
        self._keys = keys
        self._lookup = lookup
        self._clock = clock
        self._monotonic = monotonic
        self._jws = PyJWS(algorithms=[ALGORITHM])
        self._good: BoundedCache[bytes, _Remembered] = BoundedCache(CACHE_ENTRIES_MAX)
        self._dead: BoundedCache[bytes, str] = BoundedCache(CACHE_ENTRIES_MAX)  # uids never come back

    @property
    def keys(self) -> ServiceAccountKeys:
        return self._keys

    @keys.setter
    def keys(self, keys: ServiceAccountKeys) -> None:
        self._keys = keys
        self._good.clear()  # a dropped key's tokens end now

    # --- issuing ----------------------------------------------------------------------------------------------

    def issue(
        self,
        account: Any,
        *,
        audiences: Sequence[str] = (),
        lifetime_s: int | None = None,
        pod: Reference | None = None,
        secret: Reference | None = None,
        node: Reference | None = None,
    ) -> IssuedToken:
        """A token of a ServiceAccount. `node` is that of the pod, or what the token is bound to without a pod.

        The lifetime is cut to `lifetime_max_s`. Raises ValueError for one below LIFETIME_MIN_S.
        """
        lifetime_s = LIFETIME_DEFAULT_S if lifetime_s is None else lifetime_s
        if lifetime_s < LIFETIME_MIN_S:
            raise ValueError("may not specify a duration less than 10 minutes")
        now_s = int(self._clock())
        expires_at_s = now_s + min(lifetime_s, self.lifetime_max_s)
        meta = account.metadata
        claims = Claims(
            iss=self.issuers[0],
            sub=f"{SERVICE_ACCOUNT_PREFIX}{meta.namespace}:{meta.name}",
            aud=list(audiences) or list(self.api_audiences),
            exp=expires_at_s,
            iat=now_s,
            nbf=now_s,
            jti=str(uuid.uuid4()),
            kubernetes=_Kubernetes(
                namespace=meta.namespace,
                serviceaccount=Reference(name=meta.name, uid=meta.uid),
                node=node,
                pod=pod,
                secret=secret,
            ),
        )
        headers = {"kid": self._keys.signing_id, "typ": None}
        token = self._jws.encode(msgspec.json.encode(claims), self._keys.signing, ALGORITHM, headers=headers)
        return IssuedToken(token, expires_at_s)

    # --- verifying --------------------------------------------------------------------------------------------

    async def verify(self, token: str, audiences: Sequence[str] = ()) -> VerifiedToken:
        """Whose token it is; `audiences` default to the API server's. Raises Unauthorized, ServiceUnavailable."""
        digest = hashlib.sha256(token.encode()).digest()
        dead = self._dead.get(digest)
        if dead is not None:
            raise Unauthorized(dead)
        held = self._good.get(digest)
        claims = held.claims if held else self._check_signature(token)
        self._check_times(claims)
        meant = [audience for audience in audiences or self.api_audiences if audience in claims.aud]
        if not meant:
            raise Unauthorized(f"token audiences {claims.aud} are for none of {list(audiences or self.api_audiences)}")
        now_s = self._monotonic()
        if held is None or now_s - held.existed_at_s > RECHECK_AFTER_S:
            await self._check_existence(digest, claims)
            held = _Remembered(claims, held.user if held else _user(claims), now_s)
            self._good.put(digest, held)
        return VerifiedToken(held.user, meant)

    def _check_signature(self, token: str) -> Claims:
        try:
            header = self._jws.get_unverified_header(token)
            if header.get("alg") != ALGORITHM:
                raise Unauthorized(f"service account tokens are signed with {ALGORITHM}, this one is not")
            key = self._keys.verifying.get(header.get("kid", ""))
            if key is None:
                raise Unauthorized("the token was signed with a key that this cluster does not know")
            payload = self._jws.decode(token, key, algorithms=[ALGORITHM])
            claims = msgspec.json.decode(payload, type=Claims)
        except (PyJWTError, msgspec.DecodeError, ValueError, TypeError) as error:
            raise Unauthorized("the token is no service account token, or its signature is wrong") from error
        account = claims.kubernetes
        if claims.iss not in self.issuers:
            raise Unauthorized("the token was issued by another issuer")
        if claims.sub != f"{SERVICE_ACCOUNT_PREFIX}{account.namespace}:{account.serviceaccount.name}":
            raise Unauthorized("the token's subject is not its service account")
        return claims

    def _check_times(self, claims: Claims) -> None:
        now_s = self._clock()
        if now_s > claims.exp + LEEWAY_S:
            raise Unauthorized("service account token has expired")
        if now_s < claims.nbf - LEEWAY_S:
            raise Unauthorized("service account token is not valid yet: check the clocks of both machines")

    async def _check_existence(self, digest: bytes, claims: Claims) -> None:
        bound = claims.kubernetes
        namespace = bound.namespace
        wanted = [("serviceaccounts", namespace, bound.serviceaccount, "service account")]
        if bound.secret:
            wanted.append(("secrets", namespace, bound.secret, "secret"))
        if bound.pod:
            wanted.append(("pods", namespace, bound.pod, "pod"))
        elif bound.node:
            wanted.append(("nodes", "", bound.node, "node"))
        for key, place, reference, what in wanted:
            found = await self._lookup.get(key, place, reference.name)
            if not self._lives(found, reference):
                found = await self._lookup.get(key, place, reference.name, linearizable=True)
            if not self._lives(found, reference):
                why = f"service account token has been invalidated: its {what} {reference.name} has been deleted"
                self._dead.put(digest, why)
                self._good.discard(digest)
                raise Unauthorized(why)

    def _lives(self, found: Any | None, reference: Reference) -> bool:
        """There, the same, and not deleted longer than the leeway ago (a pod ends after its deletionTimestamp)."""
        if found is None or found.metadata.uid != reference.uid:
            return False
        deleted = found.metadata.deletion_timestamp
        return deleted is None or parse_time(deleted).timestamp() >= self._clock() - LEEWAY_S


def service_account_user(namespace: str, name: str, uid: str = "") -> User:
    """The user that a ServiceAccount is."""
    return User(
        name=f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}",
        uid=uid,
        groups=service_account_groups(namespace),
    )


def service_account_groups(namespace: str) -> tuple[str, ...]:
    return (GROUP_SERVICE_ACCOUNTS, f"{GROUP_SERVICE_ACCOUNTS}:{namespace}", GROUP_AUTHENTICATED)


def split_service_account(user_name: str) -> tuple[str, str] | None:
    """Namespace and name of the ServiceAccount a user name stands for; None when it stands for none."""
    if not user_name.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, _, name = user_name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    return (namespace, name) if namespace and name and ":" not in name else None


def _user(claims: Claims) -> User:
    bound = claims.kubernetes
    user = service_account_user(bound.namespace, bound.serviceaccount.name, bound.serviceaccount.uid)
    extra: dict[str, tuple[str, ...]] = {}
    if claims.jti:
        extra[CREDENTIAL_ID] = (f"JTI={claims.jti}",)
    for what, reference in (("pod", bound.pod), ("node", bound.node)):
        if reference:
            extra[f"{_EXTRA}{what}-name"] = (reference.name,)
            if reference.uid:
                extra[f"{_EXTRA}{what}-uid"] = (reference.uid,)
    return msgspec.structs.replace(user, extra=extra)
