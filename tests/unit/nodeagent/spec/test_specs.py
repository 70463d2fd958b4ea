"""A pod's sandbox and containers as the runtime is told of them: all parts together."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import msgspec
import pytest
from fake_api import FakeApi
from spec_world import SANDBOX, SpecWorld, container, pod, run_spec

from nodeagent.house import NotYet
from nodeagent.runtime.interface import Namespaces, Resources
from nodeagent.spec import specs
from nodeagent.spec.failures import SOON_S
from nodeagent.spec.specs import read_text

IMAGE_NAME = "registry.test/main:1"


def test_a_sandbox() -> None:
    async def story(world: SpecWorld) -> None:
        main = container(resources={"requests": {"cpu": "500m"}}, securityContext={"privileged": True})
        wanted = pod(
            main,
            hostname="front",
            subdomain="sub",
            setHostnameAsFQDN=True,
            hostPID=True,
            dnsPolicy="None",
            dnsConfig={"nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]},
            securityContext={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]},
        )
        made = await world.specs.sandbox(wanted, 2)
        assert (made.attempt, made.hostname) == (2, "front.sub.shop.svc.cluster.local")
        assert made.dns is not None
        assert made.dns.servers == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        assert (made.sysctls, made.security.privileged) == ({"net.ipv4.tcp_syncookies": "0"}, True)
        assert (made.namespaces, made.resources.cpu_shares) == (Namespaces(host_pid=True), 512)
        ((reason, words, _),) = world.told.events
        assert reason == "DNSConfigForming"
        assert words.endswith("192.0.2.1 192.0.2.2 192.0.2.3")

    run_spec(story)


def listening(name: str, port: int, **more: Any) -> Any:
    return container(name, ports=[{"containerPort": port, "hostPort": port + 1000}], **more)


def test_ports_of_the_node() -> None:
    async def story(world: SpecWorld) -> None:
        wanted = pod(listening("a", 80), listening("b", 81))
        wanted.spec.init_containers = [listening("side", 82, restartPolicy="Always"), listening("early", 83)]
        made = await world.specs.sandbox(wanted, 0)
        assert [each.host_port for each in made.port_mappings] == [1082, 1080, 1081]
        wanted.spec.host_network = True
        assert (await world.specs.sandbox(wanted, 0)).port_mappings == [], "they are there already"

    run_spec(story)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"runtimeClassName": "gvisor"}, 'no runtime for "gvisor" is configured'),
        ({"hostUsers": False}, "user namespaces are not supported"),
    ],
)
def test_what_the_node_does_not_have_is_not_replaced(spec: dict[str, Any], words: str) -> None:
    async def story(world: SpecWorld) -> None:
        with pytest.raises(NotYet, match=words) as caught:
            await world.specs.sandbox(pod(**spec), 0)
        assert caught.value.event == "FailedCreatePodSandBox"

    run_spec(story)


def test_a_container() -> None:
    async def story(world: SpecWorld) -> None:
        world.objects.config("settings", **{"COLOR": "blue", "a=b": "1"})
        main = container(
            command=["run", "$(COLOR)"],
            args=["$(NAME)", "$(NONE)"],
            envFrom=[{"configMapRef": {"name": "settings"}}],
            env=[{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            stdinOnce=True,
            terminationMessagePath="/m",
            terminationMessagePolicy="FallbackToLogsOnError",
            resources={"limits": {"memory": "1Gi"}},
            securityContext={"runAsUser": 7},
        )
        made = await world.made(pod(main, shareProcessNamespace=True))
        assert (made.command, made.args) == (["run", "blue"], ["10.244.1.7", "$(NONE)"])
        assert dict(made.environment) == {"COLOR": "blue", "NAME": "10.244.1.7"}
        assert (made.hostname, made.stdin_once, made.image_id) == ("web", True, "sha256:1")
        assert "10.244.1.7\tweb" in made.hosts.splitlines()
        assert made.last_words is not None
        assert (made.last_words.path, made.last_words.from_log) == ("/m", True)
        expected = Resources(cpu_shares=2, cpu_period_us=100_000, memory_limit=1 << 30, oom_score_adj=1000)
        assert made.resources == expected
        assert (made.security.user, made.namespaces) == (7, Namespaces(shared_pid=True))
        ((reason, words, which),) = world.told.events
        assert (reason, which) == ("InvalidEnvironmentVariableNames", "main")
        assert "Keys [a=b] from the EnvFrom configMap shop/settings" in words

    run_spec(story)


def test_nothing_shows_a_secret() -> None:
    async def story(world: SpecWorld) -> None:
        world.objects.secret_of("keys", TOKEN=b"hunter2")
        ref = {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}
        main = container(args=["$(TOKEN)"], env=[{"name": "TOKEN", "valueFrom": ref}])
        made = await world.made(pod(main))
        assert (made.args, dict(made.environment)) == (["hunter2"], {"TOKEN": "hunter2"})
        assert "hunter2" not in repr(made)
        assert "hunter2" not in repr(world.objects.secrets)

    run_spec(story)


def test_in_the_nodes_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "read_text", lambda _: "192.0.2.7 node-1\n")

    async def story(world: SpecWorld) -> None:
        main = container(env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}])
        made = await world.made(pod(main, hostNetwork=True), sandbox=msgspec.structs.replace(SANDBOX, ips=()))
        assert dict(made.environment) == {"IP": "192.0.2.7"}
        assert (made.hostname, "192.0.2.7 node-1" in made.hosts.splitlines()) == ("", True)

    run_spec(story)


def test_what_cannot_be_is_said() -> None:
    async def story(world: SpecWorld) -> None:
        with pytest.raises(NotYet, match="image will run as root"):
            await world.made(pod(securityContext={"runAsNonRoot": True}))

    run_spec(story)


# --- pull secrets -----------------------------------------------------------------------------------------


def with_login(world: SpecWorld, name: str, where: str, user: str) -> None:
    auth = base64.b64encode(f"{user}:secret".encode()).decode()
    content = json.dumps({"auths": {where: {"auth": auth}}}).encode()
    world.objects.secret_of(name, "kubernetes.io/dockerconfigjson", **{".dockerconfigjson": content})


def wanting(*names: str) -> Any:
    return pod(imagePullSecrets=[{"name": each} for each in names])


async def users(world: SpecWorld, wanted: Any) -> list[str]:
    return [each.username for each in await world.specs.credentials(wanted, IMAGE_NAME)]


def test_credentials_of_all_secrets() -> None:
    async def story(world: SpecWorld) -> None:
        with_login(world, "a", "registry.test", "a")
        with_login(world, "b", "registry.test/main", "b")
        with_login(world, "c", "other.test", "c")
        assert await users(world, wanting("a", "b", "c")) == ["b", "a"]
        assert await users(world, pod()) == []
        assert world.told.events == []

    run_spec(story)


def test_what_is_wrong_with_a_secret_hinders_no_other() -> None:
    async def story(world: SpecWorld) -> None:
        with_login(world, "good", "registry.test", "good")
        world.objects.secret_of("bad", password=b"hunter2")
        assert await users(world, wanting("none", "bad", "good")) == ["good"]
        ((reason, words, _),) = world.told.events
        assert reason == "FailedToRetrieveImagePullSecret"
        assert words == (
            "Unable to retrieve some image pull secrets (none, bad); attempting to pull the image may not succeed."
        )
        world.objects.down = True
        assert await users(world, wanting("good")) == []

    run_spec(story)


# --- the node's files -------------------------------------------------------------------------------------


def test_a_file_of_the_node_is_read_within_bounds(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "FILE_BYTES_MAX", 10)
    path = tmp_path / "file"
    assert read_text(path) == ""
    path.write_bytes(b"\xff" + b"x" * 100)
    assert read_text(path) == "\ufffd" + "x" * 9


def test_systemds_resolver_is_not_for_pods(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, behind = tmp_path / "resolv.conf", tmp_path / "systemd.conf"
    monkeypatch.setattr(specs, "_RESOLV_CONF", usual)
    monkeypatch.setattr(specs, "_RESOLV_CONF_OF_SYSTEMD", behind)

    def servers() -> list[str]:
        async def ask(world: SpecWorld) -> None:
            made = await world.specs.sandbox(pod(dnsPolicy="Default"), 0)
            assert made.dns is not None
            found.extend(made.dns.servers)

        found: list[str] = []
        run_spec(ask)
        return found

    usual.write_text("nameserver 192.0.2.1\n")
    behind.write_text("nameserver 192.0.2.9\n")
    assert servers() == ["192.0.2.1"]
    usual.write_text("nameserver 127.0.0.53\n")
    assert servers() == ["192.0.2.9"]
    behind.unlink()
    assert servers() == ["127.0.0.53"]


def test_services_that_nobody_has_read_yet() -> None:
    async def main() -> None:
        async with FakeApi().client("test") as client:
            world = SpecWorld(client)  # whose informer does not run
            with pytest.raises(NotYet, match="services have not yet been read at least once") as caught:
                await world.made(pod())
            assert (caught.value.reason, caught.value.again_s) == ("CreateContainerConfigError", SOON_S)

    asyncio.run(main())
