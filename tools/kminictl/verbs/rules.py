"""Rules of roles as rows: what `describe role` and `auth can-i --list` show."""

from __future__ import annotations

from typing import Any

import msgspec

from ..output import gojson


def rows(rules: list[dict[str, Any]]) -> list[list[str]]:
    """Resources, paths, names, verbs: one resource or path a row, as kubectl orders them."""
    broken = [each for rule in rules for each in _broken_down(rule)]
    return [each.cells for each in sorted(_compacted(broken), key=lambda each: each.order)]


class _Simple(msgspec.Struct, kw_only=True):
    """A rule about one resource or one path."""

    verbs: list[str]
    group: str | None = None
    resource: str = ""
    names: list[str] = []
    path: str = ""

    @property
    def cells(self) -> list[str]:
        place, slash, subresource = self.resource.partition("/")
        named = (f"{place}.{self.group}" if self.group else place) + (f"/{subresource}" if slash else "")
        return [named, *(gojson.sprint(each) for each in ([self.path] if self.path else [], self.names, self.verbs))]

    @property
    def order(self) -> str:
        """Kubernetes sorts rules by how Go prints them."""
        groups = [] if self.group is None else [self.group]
        lists = (self.verbs, groups, [self.resource] if self.resource else [], self.names)
        fields = zip(("Verbs", "APIGroups", "Resources", "ResourceNames"), lists, strict=True)
        return ",".join(f"{name}:{gojson.sprint(value)}" for name, value in fields) + f",NonResourceURLs:[{self.path}]"


def _compacted(rules: list[_Simple]) -> list[_Simple]:
    """Verbs of the same resource together; paths are left as they are."""
    found: list[_Simple] = []
    known: dict[tuple[str | None, str, tuple[str, ...]], _Simple] = {}
    for each in rules:
        key = (each.group, each.resource, tuple(each.names))
        if each.path or key not in known:
            found.append(each)
            if not each.path:
                known[key] = each
        else:
            known[key].verbs += [verb for verb in each.verbs if verb not in known[key].verbs]
    return found


def _broken_down(rule: dict[str, Any]) -> list[_Simple]:
    """As small as can be: one verb, of one resource with one name, or of one path."""
    names = [[name] for name in rule.get("resourceNames") or []] or [[]]
    verbs = rule.get("verbs") or []
    found = [
        _Simple(verbs=[verb], group=group, resource=resource, names=name)
        for group in rule.get("apiGroups") or []
        for resource in rule.get("resources") or []
        for verb in verbs
        for name in names
    ]
    return found + [_Simple(verbs=[verb], path=path) for path in rule.get("nonResourceURLs") or [] for verb in verbs]
