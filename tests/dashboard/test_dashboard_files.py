"""The files of the dashboard, and what importing it brings along."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from jinja2 import Environment, PackageLoader, nodes

from supernova_ai import ExtraMissing, dashboard

STATIC = Path(dashboard.__file__).with_name("static")


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
        ("uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
        ("LICENSE", "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd"),
    ],
)
def test_uplot_is_the_published_file(name: str, digest: str) -> None:
    """It is uPlot 1.6.32 as npm has it, with its licence."""
    assert sha256((STATIC / "uplot" / name).read_bytes()).hexdigest() == digest


def imported(*modules: str) -> set[str]:
    """Return which libraries importing these brings along, where prometheus-client is not installed."""
    code = (
        "import sys\n"
        "sys.modules['prometheus_client'] = None\n"
        f"import {', '.join(modules)}\n"
        "print(*(name for name in sys.modules if '.' not in name))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_what_is_imported() -> None:
    """Neither the application nor a page needs LiteLLM, whose import takes seconds, or Rich."""
    slow = {"litellm", "openai", "apprise", "matplotlib", "authlib"}
    assert imported("supernova_ai.dashboard.application") & {*slow, "rich"} == set()
    assert imported("supernova_ai.cli.dashboard") & slow == set()


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the libraries the error says how to install them."""
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(ExtraMissing, match=r"pip install 'supernova-ai\[dashboard\]'"):
        dashboard.check_extra()


def test_no_template_switches_escaping_off() -> None:
    """No template marks text as safe, or switches escaping off."""
    environment = Environment(loader=PackageLoader("supernova_ai.dashboard"), autoescape=True)
    for name in environment.list_templates():
        assert environment.loader
        source, _, _ = environment.loader.get_source(environment, name)
        tree = environment.parse(source)
        assert [found.name for found in tree.find_all(nodes.Filter) if found.name == "safe"] == []
        assert list(tree.find_all(nodes.ScopedEvalContextModifier)) == []
