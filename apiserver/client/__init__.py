"""The SDK: what controllers, node agents and tests use to talk to the API. This is its public face."""

from .access import Access, Material
from .cache import by_controller, by_label, by_namespace
from .calls import CallOptions
from .client import Client
from .errors import Unanswered, Unreachable
from .informer import CacheFull, Change, Informer, Informers
from .requests import ListOptions, Patch, WriteOptions
from .responses import Event, Page

__all__ = [
    "Access",
    "CacheFull",
    "CallOptions",
    "Change",
    "Client",
    "Event",
    "Informer",
    "Informers",
    "ListOptions",
    "Material",
    "Page",
    "Patch",
    "Unanswered",
    "Unreachable",
    "WriteOptions",
    "by_controller",
    "by_label",
    "by_namespace",
]
