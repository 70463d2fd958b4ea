"""The scheduler: which node a pod goes to. `parts` is how the manager runs it."""

from __future__ import annotations

from controlplane.runtime.context import Context
from controlplane.runtime.reconciler import Part


def parts(context: Context) -> list[Part]:
    """Raises ValueError for plug-ins or weights that cannot be used."""
    from .profile import default_profile
    from .scheduler import Scheduler

    options = context.options
    profile = default_profile(options.scheduler_weights, percentage=options.scheduler_percentage)
    return [Scheduler(context, profile)]
