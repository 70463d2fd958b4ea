"""A real control plane that goes away and comes back, an agent that restarts, names that are used again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from joined_agent import Joined, is_gone, is_ready, make_token, phase_is, pod_named, until
from kmini.testing.fixture import Kmini

from apiserver.api.core.pod import Pod
from apiserver.api.meta import DeleteOptions


def test_containers_outlive_the_agent_and_names_are_told_apart(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        joined = Joined(kmini, "keeper", tmp_path)
        await joined.join(await make_token(kmini, tmp_path))
        async with kmini.client as client:
            async with joined.runs():
                for name in ("stays", "goes", "again"):
                    await client.create(pod_named(name, kmini.namespace, node="keeper"))
                for name in ("stays", "goes", "again"):
                    await phase_is(client, name, "Running")
            before = {each.pod.name: each.id for each in joined.runtime.running}
            assert set(before) == {"stays", "goes", "again"}
            at_once = DeleteOptions(grace_period_seconds=0)
            await client.delete(Pod, "again", options=at_once)
            await client.delete(Pod, "goes", options=at_once)
            second = await client.create(pod_named("again", kmini.namespace, node="keeper"))
            assert len(joined.runtime.running) == 3
            async with joined.runs() as node:
                await phase_is(client, "again", "Running")

                async def only_ours() -> bool:
                    return {each.pod.name: each.pod.uid for each in joined.runtime.running} == {
                        "stays": stays.metadata.uid,
                        "again": second.metadata.uid,
                    }

                stays = await client.get(Pod, "stays")
                await until(only_ours, "nothing but what is declared")
                assert before["stays"] in [each.id for each in joined.runtime.running]
                assert (await client.get(Pod, "stays")).status.container_statuses[0].restart_count == 0
                assert node.writer.written <= 3

    asyncio.run(story())


def test_while_the_api_stands_still_pods_run_and_restart(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        joined = Joined(kmini, "patient", tmp_path)
        await joined.join(await make_token(kmini, tmp_path))
        async with joined.runs(), kmini.client as client:
            await client.create(pod_named("web", kmini.namespace, node="patient"))
            await phase_is(client, "web", "Running")
            container = joined.runtime.running[0]
            await asyncio.to_thread(kmini.pause, "a")
            try:
                joined.runtime.kill_container(container.id)

                async def restarted() -> bool:
                    return [each.attempt for each in joined.runtime.running] == [1]

                await until(restarted, "a restart without the API")
            finally:
                await asyncio.to_thread(kmini.heal)

            async def told() -> bool:
                pod = await client.get(Pod, "web")
                return is_ready(pod) and pod.status.container_statuses[0].restart_count == 1

            await until(told, "the API being told", within_s=120)
            await client.delete(Pod, "web")
            await is_gone(client, "web")

    asyncio.run(story())
