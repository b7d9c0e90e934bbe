"""See a request and its attempts as spans of OpenTelemetry.

Run: uv run python examples/traces.py

The package makes spans as soon as the program sets a tracer provider. This one keeps them in memory. A real
program exports them: ``BatchSpanProcessor(OTLPSpanExporter())``, from opentelemetry-exporter-otlp-proto-http.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from supernova_ai import SupernovaSync


def main() -> None:
    """Ask a question, and print the spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({SERVICE_NAME: "advisor"}))
    # In batches, on a thread of its own: SimpleSpanProcessor would make each attempt wait for the exporter.
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    with SupernovaSync() as nova, trace.get_tracer("advisor").start_as_current_span("morning note"):
        print(nova.chat("What is a bond?", max_tokens=200))

    provider.shutdown()  # exports what is left
    for span in sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0):
        print(f"\n{span.name} ({span.kind.name.lower()})")
        for name, value in (span.attributes or {}).items():
            print(f"  {name} =", value)


if __name__ == "__main__":
    main()
