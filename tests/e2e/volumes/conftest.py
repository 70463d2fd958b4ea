"""One node with real containers for all tests of volumes; its agent may be ended and started anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from container_agent import asked, server_of, soon
from container_host import Host
from volume_pods import CLASS, Place

STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


@pytest.fixture(scope="module")
def place(host: Host) -> Iterator[Place]:
    with server_of(host) as server, ExitStack() as stack:
        made = Place(host, server, stack)
        made.start_agent()
        soon(made.is_ready, "the node is ready")
        for name, policy in ((CLASS, "Delete"), (f"{CLASS}-kept", "Retain")):
            body = {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "kmini.io/host-path",
                "volumeBindingMode": "WaitForFirstConsumer",
                "reclaimPolicy": policy,
                "parameters": {"path": str(host.folder / "volumes")},
            }
            asked(server, "POST", STORAGE_CLASSES, body)
        yield made
