"""policy/v1: Eviction, the polite deletion of a pod."""

from __future__ import annotations

from .meta import DeleteOptions, TopObject


class Eviction(TopObject):
    """Asks for a pod to be deleted, as draining a node does. Posted to the pod's eviction subresource, never stored.

    delete_options: How the pod is deleted.
    """

    delete_options: DeleteOptions | None = None
