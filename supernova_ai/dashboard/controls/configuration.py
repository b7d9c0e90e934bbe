"""Change the configuration: a setting, the whole file, or back to an earlier version."""

from __future__ import annotations

from hashlib import sha256

import yaml

from supernova_ai.characters import visible
from supernova_ai.config.fields import mask
from supernova_ai.config.nodes import read_bytes
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls import settings
from supernova_ai.dashboard.controls.control import Control, Plan
from supernova_ai.dashboard.controls.fields import Field
from supernova_ai.dashboard.controls.task import Task
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.secret import redact

_VERSIONS = 100
_MOST_IN_FILE = 200_000
_HELD = (
    "it holds a password or token, which no page shows. Edit it on the machine. The vault can keep a URL of "
    "alerts.notify: `supernova keys add NAME`, and vault:NAME in its place"
)


def _setting_fields(task: Task) -> list[Field]:
    known = [(name, name) for name in task.editor.loaded.origins]
    return [
        Field("key", "Setting", choices=known, hint="such as routing.retries or budgets.daily.limit"),
        Field("value", "Value", most=2000, hint="in YAML, in one line: 3, true, [a, b] or {a: 1}"),
    ]


def _setting(task: Task) -> Plan:
    from supernova_ai.operations.editing import holds_secret  # its import takes long

    key, value = task.values["key"], task.values["value"]
    if holds_secret(key, value):
        task.withhold("value")
        raise InvalidRequest(f"the value is not taken, because {_HELD}")
    return settings.setting(task, {key: value})


def _file_fields(task: Task) -> list[Field]:
    base = task.editor.loaded.base
    if base is None:
        raise ConfigError("there is no configuration file: create config/supernova.yaml, which may be empty")
    content = read_bytes(base)
    try:
        text = content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{base} is not in UTF-8: edit it on the machine, or roll back") from None
    if _holds_secret(text):
        raise ConfigError(f"{base} is not shown, because {_HELD}")
    if len(text) > _MOST_IN_FILE or visible(text, prose=True) != text:
        raise ConfigError(f"{base} is too long, or has invisible characters: edit it on the machine")
    return [
        Field("text", str(base), "lines", text, most=_MOST_IN_FILE),
        Field("before", "The file as it was", "hidden", sha256(content).hexdigest()),
    ]


def _file(task: Task) -> Plan:
    base = task.editor.loaded.base
    assert base
    before, text = read_bytes(base), task.values["text"].replace("\r\n", "\n")  # as forms send it
    if sha256(before).hexdigest() != task.values["before"]:
        raise InvalidRequest("the file was edited meanwhile: keep your text elsewhere, and begin again")
    if _holds_secret(text):
        task.withhold("text")
        raise InvalidRequest(f"the text is not taken, because {_HELD}")
    content = (text.replace("\n", "\r\n") if b"\r\n" in before else text).encode()
    tried = task.editor.apply(content, "the text", write=False)
    return settings.plan(tried, lambda: task.editor.apply(content, "the text"))


def _holds_secret(text: str) -> bool:
    """Return whether the text of a file has a password or token.

    Raises:
        ConfigError: it cannot be read to find out.
    """
    if redact(text) != text or mask(text) != text:
        return True
    try:
        whole = yaml.safe_load(text) or {}
        sections = [whole, *(whole.get("environments") or {}).values()]
        urls = [url for section in sections for url in (section.get("alerts") or {}).get("notify") or ()]
    except (yaml.YAMLError, AttributeError, TypeError):
        raise ConfigError(
            "the file is not YAML, or no mapping of settings: roll back, or edit it on the machine"
        ) from None
    return any("://" in url for url in urls if isinstance(url, str))


def _rollback_fields(task: Task) -> list[Field]:
    found = [version for version in task.editor.versions.newest(_VERSIONS) if version.sealed]
    if not found:
        raise InvalidRequest(
            "no version has the text of its files, which is kept once the vault has a key: see the history"
        )
    choices = [
        (str(one.number), f"{one.number}: {one.at:%Y-%m-%d %H:%M} UTC, {one.cause}, by {one.actor}")
        for one in found
    ]
    return [Field("version", "Version", "choice", choices=choices)]


def _rollback(task: Task) -> Plan:
    number = int(task.values["version"])
    tried = task.editor.rollback(number, write=False)
    return settings.plan(tried, lambda: task.editor.rollback(number))


SETTING = Control(
    name="setting",
    title="Change a setting",
    button="Change the setting",
    about="One setting changes in its file; everything else in the file stays as it is.",
    role=Role.ADMIN,
    page="keys",
    fields=_setting_fields,
    plan=_setting,
)
FILE = Control(
    name="file",
    title="Edit the configuration file",
    button="Write the file",
    about="The text is checked before it is written, and becomes a version of the configuration.",
    role=Role.ADMIN,
    page="keys",
    fields=_file_fields,
    plan=_file,
)
ROLLBACK = Control(
    name="rollback",
    title="Roll back the configuration",
    button="Roll back",
    about="The files of an earlier version are written back, as a new version.",
    role=Role.ADMIN,
    page="keys",
    fields=_rollback_fields,
    plan=_rollback,
)
