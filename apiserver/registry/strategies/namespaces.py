"""Namespace: its finalizer, its phase, and the label that selectors know it by."""

from __future__ import annotations

from apiserver.api.core.namespace import Namespace, NamespaceStatus
from apiserver.api.fields import Causes
from apiserver.api.names import NameRule, is_dns_label, is_qualified_name
from apiserver.api.validation import check
from apiserver.registry.strategy import Strategy

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
ACTIVE, TERMINATING = "Active", "Terminating"


class NamespaceStrategy(Strategy[Namespace]):
    name_rule: NameRule = staticmethod(is_dns_label)

    def initial_status(self, obj: Namespace) -> NamespaceStatus:
        return NamespaceStatus(phase=ACTIVE)

    def prepare_create(self, obj: Namespace) -> None:
        """Deletion waits until all that is in it is gone: that is what the finalizer stands for."""
        if FINALIZER not in obj.spec.finalizers:
            obj.spec.finalizers = [*obj.spec.finalizers, FINALIZER]

    def prepare_update(self, obj: Namespace, old: Namespace) -> None:
        """Finalizers change through the finalize subresource only."""
        obj.spec.finalizers = list(old.spec.finalizers)

    def default(self, obj: Namespace) -> None:
        if obj.metadata.name and obj.metadata.labels.get(NAME_LABEL) != obj.metadata.name:
            obj.metadata.labels = {**obj.metadata.labels, NAME_LABEL: obj.metadata.name}

    def validate(self, obj: Namespace, causes: Causes) -> None:
        for index, finalizer in enumerate(obj.spec.finalizers):
            path = f"spec.finalizers[{index}]"
            check(is_qualified_name, finalizer, causes, path)
            if "/" not in finalizer and finalizer != FINALIZER:
                rule = "name is neither a standard finalizer name nor is it fully qualified"
                causes.invalid(path, finalizer, rule)

    def validate_status(self, obj: Namespace, old: Namespace, causes: Causes) -> None:
        phase = obj.status.phase
        if old.metadata.deletion_timestamp is None:
            if phase != ACTIVE:
                causes.invalid("status.phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")
        elif phase != TERMINATING:
            causes.invalid("status.phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")


NAMESPACE = NamespaceStrategy()
