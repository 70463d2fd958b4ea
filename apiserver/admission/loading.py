"""Plug-ins of users: Python entry points of group `kmini.admission`, each a class or function that makes a plug-in.

    [project.entry-points."kmini.admission"]
    image-policy = "example.policies:ImagePolicy"

They are looked for when a server starts, and only then imported. A server with a broken one does not start: it would
let through what the plug-in is there to refuse.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from .plugin import Plugin

GROUP = "kmini.admission"


class PluginError(Exception):
    """A plug-in cannot be used. The message names it, says where it comes from and what is wrong."""


def load_plugins(found: Iterable[EntryPoint] | None = None) -> list[Plugin]:
    """The plug-ins that are installed, by name. Raises PluginError."""
    installed = entry_points(group=GROUP) if found is None else found
    plugins = [_load(each) for each in sorted(installed, key=lambda each: each.name)]
    names = [each.name for each in plugins]
    for name in names:
        if names.count(name) > 1:
            raise PluginError(f'two packages bring an admission plug-in called "{name}": remove one of them')
    return plugins


def _load(entry: EntryPoint) -> Plugin:
    def broken(why: str) -> PluginError:
        return PluginError(f'admission plug-in "{entry.name}" ({entry.value}): {why}')

    try:
        plugin = entry.load()()
    except Exception as error:  # a stranger's module may do anything when it is imported
        raise broken(f"cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(getattr(plugin, "name", None), str) or not plugin.name:
        raise broken("has no name")
    for method in ("admit", "check"):
        if not inspect.iscoroutinefunction(getattr(plugin, method, None)):
            raise broken(f"has no coroutine function {method}(request, lookup)")
    made: Plugin = plugin
    return made
