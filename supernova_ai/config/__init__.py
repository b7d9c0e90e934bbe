"""The configuration: what the YAML may say, where it is found, and which source has the last word."""

from supernova_ai.config.advice import AdviceRules
from supernova_ai.config.environment import read_environ
from supernova_ai.config.load import Loaded, data_folder, load
from supernova_ai.config.network import check_tls, unverified
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
    "unverified",
]
