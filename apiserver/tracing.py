"""Traces of the write path, for those who ask for them: request → admission → store.

Off, which is how it starts, a span is one look at a module's variable and a context manager that does nothing, and
OpenTelemetry is not imported. `enable` takes any tracer of OpenTelemetry's API; who makes it decides where spans go.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_OFF: AbstractContextManager[Any] = nullcontext()
_tracer: Any = None


def enable(tracer: Any) -> None:
    """From now on spans are made by `tracer` (opentelemetry.trace.Tracer); None turns them off again."""
    global _tracer
    _tracer = tracer


def span(name: str) -> AbstractContextManager[Any]:
    """A part of what is being done now."""
    return _OFF if _tracer is None else _tracer.start_as_current_span(name)


def request_span(name: str, headers: Mapping[str, str], request_id: str) -> AbstractContextManager[Any]:
    """A request, as a part of what its client is doing when the `traceparent` header says so."""
    if _tracer is None:
        return _OFF
    from opentelemetry import propagate, trace

    parent = propagate.extract({name.lower(): value for name, value in headers.items()})
    found: AbstractContextManager[Any] = _tracer.start_as_current_span(
        name, context=parent, kind=trace.SpanKind.SERVER, attributes={"kmini.request_id": request_id}
    )
    return found


def note(**attributes: str | int) -> None:
    """Add to the span that is open now."""
    if _tracer is not None:
        from opentelemetry import trace

        trace.get_current_span().set_attributes({name.replace("_", "."): value for name, value in attributes.items()})
