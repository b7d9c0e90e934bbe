"""Notes on the error classes of the ledger: what each means, and what to do, as in docs/operations.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Note(NamedTuple):
    """What an error class means, and what to do. Commands and settings stand between backticks."""

    meaning: str
    remedy: str


NOTES: Mapping[str, Note] = {
    "RateLimited": Note(
        "The provider limits requests or tokens per minute.",
        "Set `providers.NAME.limits` to its limits, spread the calls, or ask the provider for more.",
    ),
    "ProviderTimeout": Note(
        "No answer came in time. If the cost is unknown, the attempt is lost.",
        "Stream long answers, raise `providers.NAME.timeout`, or put a faster provider first.",
    ),
    "ProviderUnavailable": Note(
        "The provider could not be reached, or answered with a server error.",
        "Nothing, while other providers answer. Else check its status page and your network.",
    ),
    "AuthenticationFailed": Note(
        "The provider refused the key.",
        "`supernova keys check` tests all keys. Replace this one: `supernova keys rotate NAME`",
    ),
    "AccountRefused": Note(
        "The provider refused the account: it has no credit, is over its quota, or is not verified.",
        "Add credit, or raise the quota, at the provider.",
    ),
    "ModelNotFound": Note(
        "The provider does not know the model, or does not offer it to this account.",
        "Correct `providers.NAME.models`. A local model must be downloaded first.",
    ),
    "RequestRejected": Note(
        "The provider refused the request as malformed. Another provider would too.",
        "The message says what is wrong: correct the arguments of the call.",
    ),
    "ParameterRefused": Note(
        "The model does not support a parameter of the request, such as a temperature.",
        "Leave it out, or set `routing.unsupported` to `drop`.",
    ),
    "ContextTooLong": Note(
        "The prompt is longer than the model's context window.",
        "Shorten the text or the history (`sessions.tokens`), or use a model with a larger window.",
    ),
    "ContentRefused": Note(
        "The provider's content policy refused the request.",
        "Rephrase it, or ask another model.",
    ),
    "NoAnswer": Note(
        "The answer was empty, or had only reasoning. It was charged.",
        "Raise `max_tokens`, or lower `reasoning_effort`.",
    ),
    "UnreadableAnswer": Note(
        "The answer has an unknown format. It was charged.",
        "Upgrade this package. If that does not help, use another model and report the message.",
    ),
    "InvalidAnswer": Note(
        "The answer does not have the schema that was asked for, also when asked once more.",
        "Simplify the schema, or use a model that supports schemas.",
    ),
    "StreamInterrupted": Note(
        "A stream broke after its first token.",
        "Set `routing.on_interrupt` to `resume`, so that another deployment continues it.",
    ),
    "ProviderError": Note("The provider failed in another way.", "The message says how."),
    "KeyNotFound": Note(
        "The key slot is empty, or its key has expired.",
        "`supernova keys status` shows all slots. Fill it: `supernova keys add NAME`",
    ),
    "KeyCorrupt": Note(
        "The record of the key was altered or moved.",
        "`supernova audit verify` looks for other changes. Enter the key again: `supernova keys add NAME`",
    ),
    "KeyRevoked": Note(
        "The key was revoked before the request was sent.",
        "Nothing: later attempts use the slot's new key.",
    ),
    "MasterKeyError": Note(
        "The master key is missing, wrong or unsafe, so that no key can be decrypted.",
        "`supernova doctor` says where it is looked for.",
    ),
    "VaultError": Note("A key could not be used.", "`supernova doctor` says why."),
    "StoreError": Note(
        "The database failed after the money was held, so that the request was not sent.",
        "The message says why. `supernova doctor` checks the database.",
    ),
    "NoProvider": Note(
        "The process or the machine had no file descriptor left, so that no connection could be opened.",
        "Close files or connections, make fewer calls at once, or raise the limit (`ulimit -n`).",
    ),
    "Cancelled": Note(
        "The caller cancelled the call.",
        "Nothing. If there are many, the callers' own timeouts may be too short.",
    ),
    "Abandoned": Note(
        "The caller left a stream before its end. What had arrived is paid.",
        "Nothing, if the rest was not needed.",
    ),
    "Withdrawn": Note(
        "It was not sent: another request took the last place in a limit or circuit, or the call had ended.",
        "Nothing: it cost nothing.",
    ),
    "ProcessDied": Note(
        "The process ended during the call, so its cost is unknown and its hold is lost.",
        "Find out why it ended. `supernova ledger reconcile` settles lost attempts from the provider's bill.",
    ),
}
"""The note of each class that an attempt can end with, the usual ones first."""
