from __future__ import annotations

import pytest

from tests.testing.raw_client import DIALECTS, Dialect


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]
