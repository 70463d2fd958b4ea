"""emptyDir, hostPath and subPath on real containers: limits, types, and no way out."""

from __future__ import annotations

from container_agent import container, make_pod, pod_status, soon
from volume_pods import Place

DATA = [{"name": "data", "mountPath": "/data"}]


def empty_dir(**more: object) -> list[dict[str, object]]:
    return [{"name": "data", "emptyDir": more}]


def test_memory_is_limited_at_once(place: Place) -> None:
    script = "dd if=/dev/zero of=/data/big bs=1k count=3000 2>&1; stat -c %s /data/big; grep ' /data ' /proc/mounts"
    place.run("memory", script, empty_dir(medium="Memory", sizeLimit="2Mi"), DATA)
    said = place.ends("memory")
    assert "No space left on device" in said
    assert f"\n{2 << 20}\n" in said
    assert "tmpfs /data tmpfs rw" in said
    place.delete("memory")


def test_disk_is_limited_soon(place: Place) -> None:
    script = "dd if=/dev/zero of=/data/big bs=1k count=3000; sleep 1000"
    place.run("disk", script, empty_dir(sizeLimit="2Mi"), DATA)
    soon(lambda: pod_status(place.server, "disk")["phase"] == "Failed", "it is evicted")
    status = pod_status(place.server, "disk")
    assert status["reason"] == "Evicted"
    assert status["message"] == 'Usage of EmptyDir volume "data" exceeds the limit "2Mi". '
    place.has_event("disk", "Evicted")
    place.delete("disk")


def test_an_empty_dir_outlives_its_containers(place: Place) -> None:
    script = "test -e /data/seen && exit 0; touch /data/seen; exit 1"
    place.run("again", script, empty_dir(), DATA, restartPolicy="OnFailure")
    place.ends("again")
    uid = place.uid("again")
    place.delete("again")
    assert not place.folder(uid).exists()


def test_sub_paths_lead_nowhere_else(place: Place) -> None:
    """An init container leaves links for the next one, also in place of a folder that was there."""
    make_pod(
        place.server,
        "escape",
        container("main", "cat /out/passwd", volumeMounts=[{"name": "data", "mountPath": "/out", "subPath": "link"}]),
        initContainers=[container("before", "ln -s /etc /data/link", volumeMounts=DATA)],
        volumes=empty_dir(),
        restartPolicy="Never",
    )
    place.waits("escape", 'subPath "link" not within volume path')

    def refused() -> bool:
        states = {each["name"]: each["state"] for each in pod_status(place.server, "escape")["containerStatuses"]}
        return bool(states["main"].get("waiting", {}).get("reason") == "CreateContainerConfigError")

    soon(refused, "the container's own word for it")
    place.delete("escape")


def test_sub_paths_show_a_part_of_the_volume(place: Place) -> None:
    mounts = [
        {"name": "data", "mountPath": "/part", "subPath": "a/b"},
        {"name": "data", "mountPath": "/named", "subPathExpr": "$(NAME)/logs"},
        *DATA,
    ]
    script = "echo x > /part/file; echo y > /named/file; cd /data; find . -type f; stat -c %a a"
    spec = container("main", script, volumeMounts=mounts, env=[{"name": "NAME", "value": "web"}])
    make_pod(place.server, "parts", spec, volumes=empty_dir(), restartPolicy="Never")
    assert sorted(place.ends("parts").splitlines()) == ["./a/b/file", "./web/logs/file", "777"]
    place.delete("parts")


def test_host_paths_are_what_the_pod_says(place: Place) -> None:
    shared = place.host.folder / "shared"
    volumes = [{"name": "data", "hostPath": {"path": str(shared), "type": "Directory"}}]
    place.run("host", "echo from the pod > /data/file", volumes, DATA)
    place.waits("host", f"hostPath type check failed: {shared} is not a directory")
    shared.mkdir()
    place.ends("host")
    assert (shared / "file").read_text() == "from the pod\n"
    place.delete("host")
    assert (shared / "file").exists()


def test_kinds_that_are_not_there_are_named(place: Place) -> None:
    place.run("nfs", "true", [{"name": "data", "nfs": {"server": "192.0.2.1", "path": "/x"}}], DATA)
    place.waits("nfs", "volumes of kind nfs are not supported here")
    place.has_event("nfs", "FailedMount")
    place.delete("nfs")


def test_what_nobody_knows_any_more_goes_when_the_agent_starts(place: Place) -> None:
    place.run("stays", "sleep 1000", empty_dir(), DATA)
    soon(lambda: pod_status(place.server, "stays").get("phase") == "Running", "it runs")
    orphan = place.folder("0000-orphan")
    (orphan / "volumes/data").mkdir(parents=True)
    (orphan / "volumes/link").symlink_to("/etc")
    place.kill_agent()
    place.start_agent()
    soon(lambda: not orphan.exists(), "the orphan is gone")
    assert place.folder(place.uid("stays")).exists()
    assert pod_status(place.server, "stays")["containerStatuses"][0]["restartCount"] == 0
    place.delete("stays")
