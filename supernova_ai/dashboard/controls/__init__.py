"""The controls of the dashboard: what its users may do, each through the function that the command calls."""

from supernova_ai.dashboard.controls.alerts import ACKNOWLEDGE
from supernova_ai.dashboard.controls.budgets import BUDGET
from supernova_ai.dashboard.controls.configuration import FILE, ROLLBACK, SETTING
from supernova_ai.dashboard.controls.control import Control
from supernova_ai.dashboard.controls.jobs import RUN_JOB
from supernova_ai.dashboard.controls.keys import REVOKE, ROTATE
from supernova_ai.dashboard.controls.prompts import TRY_PROMPT
from supernova_ai.dashboard.controls.providers import PRICE, PROVIDER

CONTROLS: dict[str, Control] = {
    control.name: control
    for control in (
        ACKNOWLEDGE,
        PROVIDER,
        BUDGET,
        PRICE,
        SETTING,
        FILE,
        ROLLBACK,
        ROTATE,
        REVOKE,
        RUN_JOB,
        TRY_PROMPT,
    )
}
"""Every control by its name, which is also that of its page."""

__all__ = ["CONTROLS"]
