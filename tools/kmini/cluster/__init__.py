"""Many hosts on one machine: `kmini cluster`, and the same for tests and chaos.

A host is a network namespace and a cgroup (cluster.py). What may enter: whatever tests of a whole cluster do to hosts
and links, and nothing of what runs in them. Rooms: state (what a cluster is, on disk), network and namespaces, cgroups,
processes and enter (how a process gets into a host), daemons (which ones), building (from nothing and back), access
(asking the servers), report (how it is).
"""

from __future__ import annotations

from ..errors import CommandError, NotReady
from .cluster import Cluster, Host
from .state import OUTSIDE

__all__ = ["OUTSIDE", "Cluster", "CommandError", "Host", "NotReady"]
