"""Terms of node selectors, compiled: which nodes a pod or a volume may be on, for the scheduler and for the nodes.

Frozen and hashable. Texts that the API server would have refused match nothing; nothing here raises for them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .core.scheduling import NodeSelectorRequirement, NodeSelectorTerm
from .selectors import Operator, Requirement

NAME_FIELD = "metadata.name"
_NODE_OPERATORS: dict[str, Operator] = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
    "Gt": "gt",
    "Lt": "lt",
}


class NodeTerm(msgspec.Struct, frozen=True, cache_hash=True):
    """Conditions on one node that must all hold. Without any it matches none, as in Kubernetes."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()
    broken: bool = False

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if self.broken or not (self.labels or self.fields):
            return False
        for requirement in self.labels:
            if not requirement.matches(labels):
                return False
        return not self.fields or all(requirement.matches({NAME_FIELD: name}) for requirement in self.fields)

    @property
    def names(self) -> frozenset[str] | None:
        """The nodes that the term names; None when it names none and any may match."""
        found: frozenset[str] | None = None
        for requirement in self.fields:
            if requirement.operator == "in":
                values = frozenset(requirement.values)
                found = values if found is None else found & values
        return found


def node_term(term: NodeSelectorTerm) -> NodeTerm:
    labels = [_node_requirement(each) for each in term.match_expressions]
    fields = [_node_requirement(each) if each.key == NAME_FIELD else None for each in term.match_fields]
    return NodeTerm(
        labels=tuple(each for each in labels if each is not None),
        fields=tuple(each for each in fields if each is not None),
        broken=None in labels or None in fields,
    )


def _node_requirement(given: NodeSelectorRequirement) -> Requirement | None:
    operator = _NODE_OPERATORS.get(given.operator)
    if operator is None or (operator in ("gt", "lt") and len(given.values) != 1):
        return None
    return Requirement(given.key, operator, tuple(sorted(set(given.values))))
