"""The keys of ServiceAccount tokens, as OpenID's two documents, for those who verify tokens by themselves."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from apiserver.auth.service_account_keys import discovery_document, jwks_document
from apiserver.auth.service_accounts import ServiceAccountTokens
from apiserver.auth.user import User
from apiserver.http.responses import Reply

KEYS_PATH = "/openid/v1/jwks"


class OpenId:
    """Answers `/.well-known/openid-configuration` and `/openid/v1/jwks`; RBAC says who may read them."""

    def __init__(self, tokens: ServiceAccountTokens, address: str) -> None:
        """`address`: host:port at which the keys are read."""
        self._tokens = tokens
        self._address = address

    async def __call__(
        self, _request: web.BaseRequest, segments: list[str], _query: Mapping[str, str], _user: User
    ) -> Reply | None:
        match segments:
            case [".well-known", "openid-configuration"]:
                keys_at = f"https://{self._address}{KEYS_PATH}"
                return Reply(discovery_document(self._tokens.issuers[0], keys_at), "application/json")
            case ["openid", "v1", "jwks"]:
                return Reply(jwks_document(self._tokens.keys), "application/jwk-set+json")
        return None
