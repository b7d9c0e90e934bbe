"""The configuration: the settings of the YAML, where the files are found, and which source wins."""

from supernova_ai.config.advice import AdviceRules
from supernova_ai.config.dashboard import DashboardConfig, Oidc
from supernova_ai.config.environment import read_environ
from supernova_ai.config.load import Loaded, data_folder, load, salvage
from supernova_ai.config.logging import configure_logging
from supernova_ai.config.network import check_tls, tls_unverified_by
from supernova_ai.config.operations import Backup, Jobs, Keep, Keys, Logs, Reload, Reports
from supernova_ai.config.providers import Limits, Price, Provider, Timeout
from supernova_ai.config.schema import (
    Alerts,
    Attachments,
    Breaker,
    Budget,
    Cache,
    Config,
    Health,
    Retention,
    Routing,
    Sessions,
    Spike,
)

__all__ = [
    "AdviceRules",
    "Alerts",
    "Attachments",
    "Backup",
    "Breaker",
    "Budget",
    "Cache",
    "Config",
    "DashboardConfig",
    "Health",
    "Jobs",
    "Keep",
    "Keys",
    "Limits",
    "Loaded",
    "Logs",
    "Oidc",
    "Price",
    "Provider",
    "Reload",
    "Reports",
    "Retention",
    "Routing",
    "Sessions",
    "Spike",
    "Timeout",
    "check_tls",
    "configure_logging",
    "data_folder",
    "load",
    "read_environ",
    "salvage",
    "tls_unverified_by",
]
