"""get and list of NodeMetrics and PodMetrics: which objects are meant, whose agents are asked, what they look like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from apiserver.api.errors import BadRequest, TooManyRequests
from apiserver.api.meta import TopObject
from apiserver.api.summary import Summary
from apiserver.feed.change import Facts
from apiserver.registry.selectable import POD
from apiserver.registry.table import Table
from apiserver.storage import Stored, encode, place_of
from apiserver.verbs.answer import Answer, ListAnswer, ObjectAnswer
from apiserver.verbs.call import Call, ListOptions
from apiserver.verbs.reading import Reader, not_found
from apiserver.verbs.selection import Selection

from .objects import node_metrics, pod_metrics
from .summaries import Summaries

RUNNING_MAX = 50
LOOKED_AT_PER_STEP = 500
_NODE_NAME = list(POD).index("spec.nodeName")

#: (namespace, name, node, labels); a node's namespace is "".
Meant = tuple[str, str, str, Facts]


class UsageReader:
    """Raises ApiError."""

    def __init__(self, reader: Reader, table: Table, summaries: Summaries) -> None:
        self._reader = reader
        self._table = table
        self._summaries = summaries
        self._running = 0

    async def __call__(self, call: Call) -> Answer:
        if self._running >= RUNNING_MAX:
            raise TooManyRequests(f"{self._running} requests wait for agents already", retry_after_s=1)
        self._running += 1
        try:
            if call.name:
                return await self._get(call)
            return await self._list(call)
        finally:
            self._running -= 1

    async def _get(self, call: Call) -> Answer:
        meant = await self._meant(call, lambda namespace, name, _: (namespace, name) == (call.namespace, call.name))
        found = await self._made(call, meant)
        if not found:
            raise not_found(call.resource, call.name)
        return ObjectAnswer(call.resource, found[0])

    async def _list(self, call: Call) -> Answer:
        options = ListOptions.parse(call.query)
        if options.continue_:
            raise BadRequest(f"lists of {call.resource.group_resource} have no pages")
        selection = Selection(call.resource, options.labels, options.fields)
        matches = selection.matches

        def wanted(namespace: str, name: str, facts: Facts) -> bool:
            if call.namespace and namespace != call.namespace:
                return False
            return selection.wants(namespace, name) and (matches is None or matches(facts))

        found = await self._made(call, await self._meant(call, wanted))
        return ListAnswer(call.resource, found, 0)

    async def _meant(self, call: Call, wanted: Callable[[str, str, Facts], bool]) -> list[Meant]:
        """Nodes, or pods that are bound to one, in the order of names."""
        measured = self._table.of_key(call.resource.plural)  # `nodes` of the core group
        index = await self._reader.index(measured)
        found: list[Meant] = []
        for number, (key, facts) in enumerate(list(index.items())):
            if number % LOOKED_AT_PER_STEP == LOOKED_AT_PER_STEP - 1:
                await asyncio.sleep(0)
            namespace, name = place_of(measured, key)
            node = facts.fields[_NODE_NAME] if measured.namespaced else name
            if node and wanted(namespace, name, facts):
                found.append((namespace, name, node, facts))
        return sorted(found, key=lambda each: each[:2])

    async def _made(self, call: Call, meant: Iterable[Meant]) -> list[Stored]:
        meant = list(meant)
        summaries = await self._summaries.of(node for _, _, node, _ in meant)
        made = (
            _object(each, summaries[each[2]], of_pod=call.resource.namespaced) for each in meant if each[2] in summaries
        )
        return [Stored(encode(each), 0) for each in made if each is not None]


def _object(meant: Meant, summary: Summary, *, of_pod: bool) -> TopObject | None:
    namespace, name, _, facts = meant
    if of_pod:
        return pod_metrics(namespace, name, facts.labels, summary)
    return node_metrics(name, facts.labels, summary)
