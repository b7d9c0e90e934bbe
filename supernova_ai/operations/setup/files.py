"""The files that setup writes: the configuration, ``.env.example``, a systemd unit; and emptying ``.env``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from secrets import token_hex

from dotenv import dotenv_values, set_key

from supernova_ai.errors import ConfigError
from supernova_ai.paths import new_file, reason_of, sync_folder

_HERE = files("supernova_ai.operations.setup")
_CHECKOUT = Path(__file__).resolve().parents[3]

COMMAND = Path(sys.executable).with_name("supernova")
"""The command of this installation."""

CONFIGURATION, ENVIRONMENT = "supernova.yaml", ".env.template"

_UNIT = """\
[Unit]
Description=SuperNova AI: scheduled jobs, probes and alerts
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart={command} run --config {config}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=60
Environment={home}
{credential}WorkingDirectory={folder}
Restart=on-failure
RestartSec=5
TimeoutStopSec=60
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={writable}
PrivateTmp=yes
LimitCORE=0
UMask=0077

[Install]
WantedBy={target}
"""


def template(name: str) -> str:
    """Return the text of a file that the package brings along: the commented configuration, or variables."""
    packaged = _HERE.joinpath(name)
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    folder = {CONFIGURATION: "config"}.get(name, "")  # a checkout, or an editable installation
    return (_CHECKOUT / folder / name).read_text(encoding="utf-8")


def write_new(path: Path, text: str, mode: int = 0o644) -> bool:
    """Write the file unless there is one; return whether it was written. It is whole, or not there.

    Raises:
        ConfigError: the file or its folder cannot be written.
    """
    if path.exists():
        return False
    try:
        return _write_whole(path, text, mode)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.filename or path.parent}: {reason_of(error)}): "
            "run this where this user may write it"
        ) from error


def _write_whole(path: Path, text: str, mode: int) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        with new_file(written) as file:
            file.write(text.encode())
        written.chmod(mode)
        path.hardlink_to(written)  # unlike a rename, this fails if another setup wrote it meanwhile
    except FileExistsError:
        return False
    finally:
        written.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def blank_variables(path: Path, values: Mapping[str, str]) -> list[str]:
    """Empty those variables of a ``.env`` that still have these values; return their names."""
    present = dotenv_values(path, interpolate=False)
    names = [name for name, value in values.items() if (present.get(name) or "").strip() == value]
    mode = path.stat().st_mode & 0o777
    for name in names:
        set_key(path, name, "", quote_mode="never")
    path.chmod(mode)
    return names


def unit(config: Path, home: Path, folders: Iterable[Path] = (), *, credential: bool, system: bool) -> str:
    """Return a systemd unit that runs ``supernova run`` with this interpreter.

    Args:
        folders: those that it writes to, besides the data folder and the configuration's; they must exist.
        credential: the master key is the encrypted credential ``supernova-master``.
        system: the unit is of the system, not of one user.
    """
    return _UNIT.format(
        command=_quoted(COMMAND),
        config=_quoted(config).replace("$", "$$"),  # else systemd would replace a variable in it
        folder=str(config.parent.parent).replace("%", "%%"),  # here quotes would be part of the path
        home=_quoted(f"SUPERNOVA_HOME={home}"),
        writable=" ".join(map(_quoted, dict.fromkeys((home, config.parent, *folders)))),
        credential="LoadCredentialEncrypted=supernova-master\n" if credential else "",
        target="multi-user.target" if system else "default.target",
    )


def _quoted(text: str | Path) -> str:
    """Return the text as one word of a unit, in which ``%`` stands for itself."""
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
