"""What only a client can know: that nobody answered. Everything else is the server's word (apiserver.api.errors).

ApiError
+-- ServiceUnavailable
|   +-- Unreachable   no server could be reached; the request did not take effect
+-- Timeout
    +-- Unanswered    sent, and no answer came: a write may have taken effect (`definite` is False)
"""

from __future__ import annotations

from apiserver.api.errors import ServiceUnavailable, Timeout


class Unreachable(ServiceUnavailable):
    pass


class Unanswered(Timeout):
    def __init__(self, message: str, *, definite: bool) -> None:
        super().__init__(message, definite=definite)
