"""Traces: nothing while they are off, and what is a part of what when they are on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from apiserver import tracing

PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.enable(provider.get_tracer("test"))
    try:
        yield exporter
    finally:
        tracing.enable(None)
        provider.shutdown()


def test_off_it_is_the_same_nothing_for_all() -> None:
    assert tracing.span("a") is tracing.span("b") is tracing.request_span("GET", {}, "1")
    with tracing.span("a"):
        tracing.note(kmini_verb="get")


def test_a_request_is_a_part_of_its_clients_trace_and_the_store_one_of_it(spans: InMemorySpanExporter) -> None:
    headers = {"Traceparent": f"00-{PARENT}-00f067aa0ba902b7-01"}
    with tracing.request_span("POST", headers, "r-1"):
        tracing.note(kmini_verb="create")
        with tracing.span("store.txn"):
            pass
    store, request = spans.get_finished_spans()
    assert request.context is not None
    assert store.parent is not None
    assert f"{request.context.trace_id:032x}" == PARENT
    assert store.parent.span_id == request.context.span_id
    assert request.attributes == {"kmini.request_id": "r-1", "kmini.verb": "create"}
