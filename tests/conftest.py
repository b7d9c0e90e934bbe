"""Every test gets a home of its own, and none can reach beyond this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# LiteLLM reads these when it is imported: no .env is loaded, no price map is fetched.
os.environ["LITELLM_MODE"] = "PRODUCTION"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _isolated(supernova_home: Path, no_real_providers: None) -> None:
    pass
