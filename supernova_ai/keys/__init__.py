"""API keys: encrypted in the store under a master key, decrypted for one attempt, every change audited."""

from supernova_ai.keys.key_info import KeyInfo
from supernova_ai.keys.master import MasterKey
from supernova_ai.keys.master_sources import resolve, reveal
from supernova_ai.keys.opening import open_vault
from supernova_ai.keys.records import SealedKey
from supernova_ai.keys.source import KeySource, import_environment
from supernova_ai.keys.vault import SLOTS, Vault

__all__ = [
    "SLOTS",
    "KeyInfo",
    "KeySource",
    "MasterKey",
    "SealedKey",
    "Vault",
    "import_environment",
    "open_vault",
    "resolve",
    "reveal",
]
