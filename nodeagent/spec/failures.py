"""Why a container cannot be made as its spec says, as NotYet in Kubernetes' words."""

from __future__ import annotations

from nodeagent.house import AGAIN_S, NotYet

SOON_S = 2.0  # what is not known may be known any moment
_EVENT = "Failed"


def config_error(message: str, *, again_s: float = AGAIN_S) -> NotYet:
    """What it needs to know is not there, or forbids it to run."""
    return NotYet("CreateContainerConfigError", message, event=_EVENT, again_s=again_s)


def creation_error(message: str) -> NotYet:
    """The node cannot give what it asks for."""
    return NotYet("CreateContainerError", message, event=_EVENT)
