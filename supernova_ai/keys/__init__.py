"""API keys: encrypted in the store under a master key, decrypted for one attempt, every change audited."""

from supernova_ai.keys.audit import AuditEvent, AuditReport
from supernova_ai.keys.master import MasterKey, resolve
from supernova_ai.keys.records import KeyInfo, SealedKey
from supernova_ai.keys.source import KeySource, import_environment
from supernova_ai.keys.vault import SLOTS, Vault

__all__ = [
    "SLOTS",
    "AuditEvent",
    "AuditReport",
    "KeyInfo",
    "KeySource",
    "MasterKey",
    "SealedKey",
    "Vault",
    "import_environment",
    "resolve",
]
