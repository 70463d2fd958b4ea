"""What all controllers share: reconcilers, their queue, the caches, events, election and the manager that runs them."""

from .context import Context
from .controller import Controller, Source, controller, controller_key, own_key
from .reconciler import DONE, Part, Reconciler, Request, Result

__all__ = [
    "DONE",
    "Context",
    "Controller",
    "Part",
    "Reconciler",
    "Request",
    "Result",
    "Source",
    "controller",
    "controller_key",
    "own_key",
]
