"""`--trace-endpoint`: traces of the write path, sent by OTLP over HTTP to a collector. Needs the extra `otel`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apiserver import tracing

from .errors import CommandError


@contextmanager
def exported(endpoint: str | None, *, service: str, version: str) -> Iterator[None]:
    """Spans go to `endpoint` (https://collector:4318/v1/traces) as long as this is open. Raises CommandError."""
    if not endpoint:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise CommandError(f"--trace-endpoint needs the extra packages of kmini[otel]: {error}") from error
    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    tracing.enable(provider.get_tracer("kmini"))
    try:
        yield
    finally:
        tracing.enable(None)
        provider.shutdown()
