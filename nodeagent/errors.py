"""What an agent can fail with.

    AgentError           the message says what happened, to what, and what to do; it shows no secret
    +-- JoinRefused      the cluster, or what it proved to be, says no: trying again will not help
    +-- NoAnswer         nobody answered yet
    +-- BadIdentity      what is in the agent's folder cannot be used

The runtime's failures are in runtime/interface.py, those of the API in apiserver.api.errors.
"""

from __future__ import annotations


class AgentError(Exception):
    """Root; `str()` is one line."""


class JoinRefused(AgentError):
    """By the server, or by us: it is not the cluster that the token names."""


class NoAnswer(AgentError):
    """It may be there in a moment."""


class BadIdentity(AgentError):
    """The certificate or key in DIR/agent."""
