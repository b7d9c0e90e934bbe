"""The types of settings, with their checks, and the masking of secrets in their values."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from supernova_ai import money
from supernova_ai.identifiers import MAX_LENGTH, checked_tags, identifier, label
from supernova_ai.paths import database_fault, is_server
from supernova_ai.secret import HIDDEN


class Section(BaseModel):
    """A section of the YAML: it cannot be changed, and an unknown setting in it is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


_PARAMETER = r"[?&][^=&\s]*(?i:pass|key|token|secret)[^=&\s]*="
_SECRET_QUERY = re.compile(rf"({_PARAMETER})[^&\s]*")
# Up to the last "@", or to the end of a secret parameter that contains it; not our messages' placeholders.
_USERINFO = re.compile(rf"(?<=://)(?!USER(?::PASSWORD)?@HOST)(?:\S*{_PARAMETER}[^&\s]*@[^&\s]*|\S*(?=@))")


def mask(text: str) -> str:
    """Return the text with the user, password and secret parameters of every URL hidden.

    >>> mask("postgresql://ann:pw@db/nova?sslmode=require")
    'postgresql://[redacted]@db/nova?sslmode=require'
    """
    return _SECRET_QUERY.sub(rf"\g<1>{HIDDEN}", _USERINFO.sub(HIDDEN, text))


def nearest(word: object, known: Iterable[str]) -> str:
    """Return " Did you mean …?" with the most similar known word, or an empty text."""
    lower = {name.lower(): name for name in known}
    found = get_close_matches(str(word).lower()[:100], list(lower), n=1)
    return f" Did you mean {lower[found[0]]!r}?" if found else ""


def is_private_url(url: str) -> bool:
    """Return whether others cannot read the traffic: it uses TLS, or stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_this_machine(parts.hostname or "")


def is_this_machine(host: str) -> bool:
    """Return whether the host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _usd(value: Any) -> Decimal:
    try:
        amount = money.decimal(value)
    except ValueError as error:
        raise ValueError(f"{error}: write it as 5.00") from None
    # 50, 50.0 and "50.00" must give the same configuration version.
    return amount.normalize() + 0


def _http_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("must be a URL such as https://host or http://localhost:11434")
    if url.username is not None or url.query or url.fragment:
        raise ValueError(
            "must be a plain URL, without user or parameters; keys belong in `supernova keys add`"
        )
    _ = url.port  # raises ValueError if it is not a port
    return value.rstrip("/")


def _redis_url(value: str) -> str:
    if urlsplit(value).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must be a redis://, rediss:// or unix:// URL")
    return value


def _database(value: str) -> str:
    if fault := database_fault(value):
        raise ValueError(fault)
    if not is_server(value):
        _path(Path(value.removeprefix("sqlite:///")))
    return value


def _path(value: Path) -> Path:
    """Check that the home folder of a ``~`` is known.

    The ``~`` stays until the path is used, because a version of the configuration is the same for all users.
    """
    try:
        value.expanduser()
    except RuntimeError:
        raise ValueError("must be a full path: the home folder that ~ stands for is not known") from None
    return value


VAULT_PREFIX = "vault:"
"""The prefix of a notification URL that is stored in the vault under the name that follows."""


def notify_name(url: str) -> str:
    """Return the part of a notification URL that is not secret: its scheme, or its name in the vault.

    >>> notify_name("slack://token/of/mine"), notify_name("vault:slack")
    ('slack', 'vault:slack')
    """
    return url if url.startswith(VAULT_PREFIX) else url.partition("://")[0]


def _notify_url(value: str) -> str:
    if not re.fullmatch(r"vault:[a-z0-9][a-z0-9_\-]{0,254}|(?!vault:)[A-Za-z][A-Za-z0-9+.\-]*://.+", value):
        raise ValueError("must be an Apprise URL such as mailto://… or slack://…, or vault:NAME")
    return value


def _one_tag(value: dict[str, str]) -> dict[str, str]:
    if len(value) != 1:
        raise ValueError(f"must be one tag, such as {{desk: fx}}, not {len(value)}: write a budget for each")
    return checked_tags(value)


def _time_zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(value, sorted(zoneinfo.available_timezones()))
        raise ValueError(f"must be an IANA time zone such as 'UTC' or 'Europe/Paris'.{hint}") from None
    return value


# Strict, because YAML reads `yes` as true, and true must not count as 1.
Count = Annotated[int, Field(strict=True, ge=1)]
Days = Annotated[int, Field(strict=True, ge=1, le=36_500)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=86_400)]
Usd = Annotated[Decimal, BeforeValidator(_usd), Field(gt=0, le=10**9, decimal_places=9)]
Factor = Annotated[Decimal, BeforeValidator(_usd), Field(gt=1, le=1000)]
UsdPerMillion = Annotated[Decimal, BeforeValidator(_usd), Field(ge=0, le=10**6, decimal_places=9)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=MAX_LENGTH)]
Identifier = Annotated[str, AfterValidator(lambda value: identifier("this", value))]
Label = Annotated[str, AfterValidator(lambda value: label("this", value))]
OneTag = Annotated[dict[str, str], AfterValidator(_one_tag)]
ModelName = Annotated[Identifier, StringConstraints(pattern=r"^\S+$")]
Slot = Literal["primary", "backup"]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
DatabaseName = Annotated[str, AfterValidator(_database)]
FilePath = Annotated[Path, AfterValidator(_path)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
NotifyUrl = Annotated[str, AfterValidator(_notify_url)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
unquoted_off = BeforeValidator(lambda value: "off" if value is False else value)  # YAML reads off as false
