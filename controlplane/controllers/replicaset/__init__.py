"""The ReplicaSet controller: reconciler.py says what it does, expectations.py how it counts."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.runtime import Context, Part, Source, controller

from .expectations import Books
from .reconciler import ReplicaSetReconciler
from .wakes import Wakes

WORKERS = 5


def parts(context: Context) -> Sequence[Part]:
    books = Books(context.clock.monotonic)
    wakes = Wakes(context.caches, books)
    sources = [
        Source(context.caches.replica_sets, wakes.of_replica_set),
        Source(context.caches.pods, wakes.of_pod),
    ]
    return [controller(context, "replicaset", ReplicaSetReconciler(context, books), sources, workers=WORKERS)]
