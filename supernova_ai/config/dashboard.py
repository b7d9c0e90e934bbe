"""The words of the dashboard in the configuration and in commands."""

from __future__ import annotations

from typing import Literal

RoleName = Literal["viewer", "operator", "admin"]
