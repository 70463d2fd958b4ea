"""What is special about a kind: defaults, rules, and who may set what.

The base class is right for a kind with spec and status and no rules beyond metadata. All methods are plain functions
of their arguments: no I/O, no clock. Metadata's own rules are checked once for all kinds, outside of strategies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from apiserver.api.fields import Causes
from apiserver.api.meta import TopObject
from apiserver.api.names import NameRule, is_dns_subdomain

T = TypeVar("T", bound=TopObject)


class Strategy(Generic[T]):
    """Subclass it per kind (apiserver/registry/strategies/) and give the instance to the table."""

    #: What a name of this kind must look like.
    name_rule: NameRule = staticmethod(is_dns_subdomain)
    #: An update without resourceVersion overwrites what is there (as Kubernetes allows for most kinds).
    allow_unconditional_update: bool = True
    #: PUT to a name that is not there creates it.
    allow_create_on_update: bool = False
    #: `metadata.generation` counts changes of anything but metadata and status.
    has_generation: bool = False
    #: A deletion at once answers with the object as it was, not with a Status: typed clients read it as such.
    returns_deleted: bool = False

    def default(self, obj: T) -> None:
        """Fill in what was left out; also bring quantities into canonical form. Idempotent."""

    def prepare_create(self, obj: T) -> None:
        """Set what only the server sets. A status that was sent is dropped before, by the caller."""

    def prepare_update(self, obj: T, old: T) -> None:
        """Carry over what an update may not touch. The caller keeps the old status."""

    def prepare_status(self, obj: T, old: T) -> None:
        """The same for the status subresource; the caller keeps everything but status and metadata."""

    def validate(self, obj: T, causes: Causes) -> None:
        """Rules of a whole object, for create and update."""

    def validate_update(self, obj: T, old: T, causes: Causes) -> None:
        """Rules about the change itself (immutable fields)."""

    def validate_status(self, obj: T, old: T, causes: Causes) -> None:
        """Rules for a write through the status subresource."""

    def warnings(self, obj: T) -> Sequence[str]:
        """What a client should be told in Warning headers."""
        return ()

    def grace_period_s(self, obj: T, asked: int | None) -> int | None:
        """Seconds a deletion waits for somebody to finish it; None or 0: the object goes at once."""
        return None

    def initial_status(self, obj: T) -> Any:
        """The status a new object gets; None leaves the type's default."""
        return None
