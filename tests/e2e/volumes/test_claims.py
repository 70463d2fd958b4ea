"""Data in a claim outlives its pods, and goes or stays as its reclaim policy says."""

from __future__ import annotations

from pathlib import Path

from container_agent import pod_status, soon
from volume_pods import CLAIMS, CLASS, VOLUMES, Place, claimed


def folder_of(volume: dict[str, object]) -> Path:
    spec = volume["spec"]
    assert isinstance(spec, dict)
    return Path(spec["hostPath"]["path"])


def test_a_file_is_there_for_the_next_pod_and_after_the_pod_is_made_again(place: Place) -> None:
    volumes, mounts = claimed("shared")
    place.claim("shared")
    place.run("writer", "id -u; echo written > /data/file", volumes, mounts, securityContext={"runAsUser": 1000})
    place.ends("writer")
    place.run("reader", "cat /data/file; echo more >> /data/file", volumes, mounts)
    assert place.ends("reader") == "written"
    place.delete("writer")
    place.delete("reader")
    place.run("reader", "cat /data/file", volumes, mounts)
    assert place.ends("reader") == "written\nmore"
    read_only = [{"name": "data", "persistentVolumeClaim": {"claimName": "shared", "readOnly": True}}]
    place.run("looker", "cat /data/file; touch /data/x 2>&1; true", read_only, mounts)
    assert "Read-only file system" in place.ends("looker")
    for name in ("reader", "looker"):
        place.delete(name)
    assert folder_of(place.volume_of("shared")).parent == place.host.folder / "volumes"


def test_delete_removes_the_folder_with_the_volume(place: Place) -> None:
    volumes, mounts = claimed("short")
    place.claim("short")
    place.run("user", "echo x > /data/file; ln -s /etc /data/link; mkdir -p /data/a/b", volumes, mounts)
    place.ends("user")
    volume = place.volume_of("short")
    name, folder = volume["metadata"]["name"], folder_of(volume)
    assert (folder / "file").read_text() == "x\n"
    assert "kmini.io/folder" in volume["metadata"]["finalizers"]
    place.ask("DELETE", f"{CLAIMS}/short")
    place.delete("user")
    soon(lambda: place.found(f"{VOLUMES}/{name}") is None, "the volume is gone")
    assert not folder.exists(), "the folder goes before the object"
    assert Path("/etc/passwd").exists()


def test_retain_keeps_the_data(place: Place) -> None:
    volumes, mounts = claimed("kept")
    place.claim("kept", f"{CLASS}-kept")
    place.run("user", "echo x > /data/file", volumes, mounts)
    place.ends("user")
    volume = place.volume_of("kept")
    name, folder = volume["metadata"]["name"], folder_of(volume)
    place.delete("user")
    place.ask("DELETE", f"{CLAIMS}/kept")
    soon(lambda: place.ask("GET", f"{VOLUMES}/{name}")["status"]["phase"] == "Released", "the volume is released")
    place.ask("DELETE", f"{VOLUMES}/{name}")
    soon(lambda: place.found(f"{VOLUMES}/{name}") is None, "the volume is gone")
    assert (folder / "file").read_text() == "x\n"


def test_the_default_class_makes_folders_in_the_agents_own(place: Place) -> None:
    volumes, mounts = claimed("usual")
    place.claim("usual", "host-path")
    place.run("user", "echo x > /data/file", volumes, mounts)
    place.ends("user")
    folder = folder_of(place.volume_of("usual"))
    assert folder.parent == place.host.folder / "agent/volumes"
    place.ask("DELETE", f"{CLAIMS}/usual")
    place.delete("user")
    soon(lambda: not folder.exists(), "the folder is gone")


def test_a_volume_made_by_hand_is_bound_and_mounted(place: Place) -> None:
    disk = place.host.folder / "disk"
    disk.mkdir()
    (disk / "file").write_text("by hand")
    spec = {
        "capacity": {"storage": "1Mi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "manual",
        "local": {"path": str(disk)},
        "nodeAffinity": {
            "required": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]},
                ]
            }
        },
    }
    place.ask(
        "POST", VOLUMES, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": spec}
    )
    place.claim("by-hand", "manual")
    volumes, mounts = claimed("by-hand")
    place.run("user", "cat /data/file; stat -c %g /data", volumes, mounts, securityContext={"fsGroup": 4242})
    assert place.ends("user") == "by hand4242"
    place.delete("user")
    assert (disk / "file").read_text() == "by hand"


def test_a_claim_that_is_not_there_is_waited_for(place: Place) -> None:
    volumes, mounts = claimed("late")
    node = {"nodeName": place.host.name}  # past the scheduler, which would not let it through
    place.run("user", "echo made > /data/file", volumes, mounts, **node)
    place.waits("user", 'persistentvolumeclaim "late" not found')
    place.ask("DELETE", "/api/v1/namespaces/default/pods/user")


def test_an_ephemeral_volume_comes_and_goes_with_its_pod(place: Place) -> None:
    spec = {
        "storageClassName": CLASS,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
    }
    volumes = [{"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]
    place.run("brief", "echo x > /data/file; cat /data/file", volumes, [{"name": "data", "mountPath": "/data"}])
    assert place.ends("brief") == "x"
    folder = folder_of(place.volume_of("brief-data"))
    assert (folder / "file").exists()
    place.delete("brief")
    soon(lambda: place.found(f"{CLAIMS}/brief-data") is None, "the claim is gone")
    soon(lambda: not folder.exists(), "the folder is gone")


def test_a_pod_with_a_claim_starts_again_under_a_new_agent(place: Place) -> None:
    volumes, mounts = claimed("again")
    place.claim("again")
    script = "echo x >> /data/file; sleep 1; test $(wc -l < /data/file) -ge 2"
    place.run("again", script, volumes, mounts, restartPolicy="OnFailure")
    soon(lambda: pod_status(place.server, "again").get("phase") == "Running", "it began")
    place.kill_agent()
    place.start_agent()
    place.ends("again")
    place.delete("again")
