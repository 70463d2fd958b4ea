"""Who may use a node's API: the cluster's servers and its administrators, each by a certificate of the cluster CA.

TLS has checked the certificate's chain, its purpose and that its time had not ended when the connection began.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from apiserver.api.errors import Forbidden, Unauthorized

#: Groups, which are organizations in a certificate. Only a server's own start issues one for servers.
ALLOWED = frozenset({"kmini:servers", "system:masters"})


def check_caller(certificate: Mapping[str, Any] | None, now: float) -> str:
    """The name of who asks. `certificate` as `ssl` gives it. Raises Unauthorized, Forbidden."""
    if not certificate:
        raise Unauthorized("Unauthorized: show a client certificate of the cluster CA")
    if now >= ssl.cert_time_to_seconds(certificate["notAfter"]):
        raise Unauthorized("Unauthorized: the client certificate has ended")
    name = next(_subject(certificate, "commonName"), "")
    if not may_call(certificate):
        raise Forbidden(f"{name or 'somebody without a name'} is neither a server of the cluster nor an administrator")
    return name


def may_call(certificate: Mapping[str, Any] | None) -> bool:
    """Whether its groups allow it."""
    return certificate is not None and not ALLOWED.isdisjoint(_subject(certificate, "organizationName"))


def _subject(certificate: Mapping[str, Any], kind: str) -> Iterator[str]:
    return (value for names in certificate.get("subject", ()) for key, value in names if key == kind)
