"""The plug-ins in their order: all `admit`s, then (after the object was validated) all `check`s.

The order of the server's own is Kubernetes'; plug-ins of users come after them, by name, and see objects complete. What
a user's plug-in does wrong stays its own: it has a bound in time, its failure names it and refuses the request, and its
`check` gets a copy, so that nothing is stored that no rule has seen.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Sequence

import msgspec

from apiserver.api.errors import ApiError, InternalError
from apiserver.auth.escalation import Authorize, EscalationCheck
from apiserver.auth.rbac import Rbac

from .certificates import CertificateSigners
from .escalation import RbacEscalation
from .join_tokens import JoinTokens
from .limits import DefaultTolerationSeconds
from .loading import load_plugins
from .namespace_lifecycle import NamespaceLifecycle
from .node_restriction import NodeRestriction
from .ownership import OwnerReferences
from .plugin import Admission, Lookup, Plugin
from .priority import Priority
from .service_account import ServiceAccounts
from .storage import DefaultStorageClass

log = logging.getLogger(__name__)

FOREIGN_TIMEOUT_S = 10.0


class Foreign:
    """A plug-in that is not ours, kept within bounds."""

    def __init__(self, plugin: Plugin, *, timeout_s: float = FOREIGN_TIMEOUT_S) -> None:
        self.name = plugin.name
        self._plugin = plugin
        self._timeout_s = timeout_s

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        """Raises what the plug-in refuses with, InternalError when it fails."""
        await self._bounded("admit", request, lookup)
        if request.obj is None and request.operation != "DELETE":
            raise InternalError(f'admission plug-in "{self.name}" took the object away')

    async def check(self, request: Admission, lookup: Lookup) -> None:
        """The same, on a copy."""
        await self._bounded("check", msgspec.structs.replace(request, obj=copy.deepcopy(request.obj)), lookup)

    async def _bounded(self, what: str, request: Admission, lookup: Lookup) -> None:
        call = self._plugin.admit if what == "admit" else self._plugin.check
        try:
            async with asyncio.timeout(self._timeout_s):
                await call(request, lookup)
        except ApiError:
            raise
        except TimeoutError:
            raise InternalError(
                f'admission plug-in "{self.name}" did not answer within {self._timeout_s:g} s'
            ) from None
        except Exception as error:
            log.exception("admission plug-in failed", extra={"plugin": self.name, "call": what})
            raise InternalError(f'admission plug-in "{self.name}" failed: {type(error).__name__}') from error


class Chain:
    """`admit` and `check` are what the verbs call."""

    def __init__(self, plugins: Sequence[Plugin], lookup: Lookup) -> None:
        """Raises ValueError for two plug-ins of one name."""
        names = [each.name for each in plugins]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two admission plug-ins are called {', '.join(twice)}")
        self.plugins = tuple(plugins)
        self._lookup = lookup

    async def admit(self, request: Admission) -> None:
        """May change `request.obj`. Raises ApiError."""
        for plugin in self.plugins:
            await plugin.admit(request, self._lookup)

    async def check(self, request: Admission) -> None:
        """Changes nothing. Raises ApiError."""
        for plugin in self.plugins:
            await plugin.check(request, self._lookup)


def default_chain(
    lookup: Lookup,
    *,
    authorize: Authorize,
    rbac: Rbac,
    foreign: Sequence[Plugin] | None = None,
) -> Chain:
    """The server's own plug-ins and those of users: `foreign`, or all that are installed. Raises PluginError."""
    own: list[Plugin] = [
        NamespaceLifecycle(),
        NodeRestriction(),
        ServiceAccounts(),
        Priority(),
        DefaultTolerationSeconds(),
        DefaultStorageClass(),
        CertificateSigners(authorize),
        JoinTokens(),
        RbacEscalation(EscalationCheck(rbac, authorize)),
        OwnerReferences(authorize),
    ]
    if foreign is None:
        foreign = load_plugins()
    return Chain([*own, *(Foreign(each) for each in foreign)], lookup)
