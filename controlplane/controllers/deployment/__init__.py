"""The Deployment controller: reconciler.py says what it does; what is decided, and why, is in rolling.py, recreate.py,
scaling.py, revisions.py and progress.py, none of which does any I/O."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.runtime import Context, Part, Source, controller, own_key

from .reconciler import DeploymentReconciler
from .wakes import Wakes

WORKERS = 5


def parts(context: Context) -> Sequence[Part]:
    wakes = Wakes(context.caches)
    sources = [
        Source(context.caches.deployments, own_key),
        Source(context.caches.replica_sets, wakes.of_replica_set),
        Source(context.caches.pods, wakes.of_pod),
    ]
    return [controller(context, "deployment", DeploymentReconciler(context), sources, workers=WORKERS)]
