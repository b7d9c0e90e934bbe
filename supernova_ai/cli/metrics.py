"""``supernova metrics``: the metrics of Prometheus, once."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from supernova_ai.cli.cost_options import writable
from supernova_ai.cli.options import ConfigPath, load
from supernova_ai.errors import ExtraMissing
from supernova_ai.store import ReadOnlyStore


def metrics(
    config: ConfigPath = None,
    textfile: Annotated[
        Path | None,
        typer.Option(
            "--textfile",
            help="Write them into this file instead, for Prometheus' node exporter: NAME.prom.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the metrics of all processes on the database, as Prometheus reads them."""
    if find_spec("prometheus_client") is None:
        raise ExtraMissing("metrics need prometheus-client: pip install 'supernova-ai[metrics]'")
    from supernova_ai.metrics.exposition import Exposition

    if textfile and textfile.suffix != ".prom":
        raise typer.BadParameter(f"the node exporter reads only files that end in .prom, not {textfile}")
    loaded = load(config)
    store = ReadOnlyStore(loaded.database)
    exposition = Exposition(lambda: store, lambda: loaded.config)
    if textfile is None:
        typer.echo(exposition.render()[0], nl=False)
        return
    with writable(textfile):
        exposition.write(textfile)
