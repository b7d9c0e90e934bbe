"""The configuration: the settings of the YAML, where the files are found, and which source wins."""

from supernova_ai.config.advice import AdviceRules
from supernova_ai.config.environment import read_environ
from supernova_ai.config.load import Loaded, data_folder, load
from supernova_ai.config.network import check_tls, tls_unverified_by
from supernova_ai.config.schema import (
    Alerts,
    Attachments,
    Breaker,
    Budget,
    Cache,
    Config,
    Health,
    Keys,
    Limits,
    Price,
    Provider,
    Retention,
    Routing,
    Sessions,
    Spike,
    Timeout,
)

__all__ = [
    "AdviceRules",
    "Alerts",
    "Attachments",
    "Breaker",
    "Budget",
    "Cache",
    "Config",
    "Health",
    "Keys",
    "Limits",
    "Loaded",
    "Price",
    "Provider",
    "Retention",
    "Routing",
    "Sessions",
    "Spike",
    "Timeout",
    "check_tls",
    "data_folder",
    "load",
    "read_environ",
    "tls_unverified_by",
]
