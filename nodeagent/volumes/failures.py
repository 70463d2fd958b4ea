"""What can be wrong with a volume.

CannotMount   not yet, or never as long as nobody changes something: the message is Kubernetes', for the pod's events
"""

from __future__ import annotations


class CannotMount(Exception):
    """`str()` says why."""
