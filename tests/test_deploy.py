"""The examples of deployments are well-formed and hardened, and agree with one another and the package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from supernova_ai import config as configuration
from supernova_ai.cli.app import app
from supernova_ai.operations.setup import files as setup_files

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = {
    each["kind"]: each
    for each in yaml.safe_load_all((DEPLOY / "kubernetes" / "supernova.yaml").read_text(encoding="utf-8"))
}
POD = MANIFESTS["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]

HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "LimitCORE": "0",
    "UMask": "0077",
    "User": "supernova",
    "CapabilityBoundingSet": "",
    "LoadCredentialEncrypted": "supernova-master",
}


def unit(path: Path) -> ConfigParser:
    parser = ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read(path, encoding="utf-8")
    return parser


@pytest.mark.parametrize("path", [path for path in UNITS if path.suffix == ".service"], ids=lambda p: p.name)
def test_services_are_hardened(path: Path) -> None:
    """A unit has each section once, runs as its own user without privileges, and dumps no core."""
    service = dict(unit(path)["Service"])
    assert HARDENED.items() <= service.items()
    assert not [name for name in service if name.startswith("Environment") and "KEY" in service[name]]


def test_the_timer_starts_its_service() -> None:
    """A timer starts the service of its own name."""
    assert unit(DEPLOY / "systemd" / "supernova-maintain.timer")["Timer"]["OnCalendar"] == "*:0/5"
    assert (DEPLOY / "systemd" / "supernova-maintain.service").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """systemd itself finds no fault in these units, with a command that exists, nor in the one of setup."""
    for path in UNITS:
        text = path.read_text(encoding="utf-8").replace("/opt/supernova/bin/supernova", sys.executable)
        (tmp_path / path.name).write_text(text)
    odd = tmp_path / 'a b%c$d"e'
    (odd / "x").mkdir(parents=True)
    of_setup = setup_files.unit(odd / "x" / "x.yaml", odd, [odd / "y"], credential=True, system=True)
    (tmp_path / "supernova-of-setup.service").write_text(of_setup)
    files = [str(path) for path in tmp_path.glob("supernova*")]
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=False
    )
    ours = [line for line in found.stderr.splitlines() if "supernova" in line]
    assert ours == []


def test_compose_is_hardened() -> None:
    """The container is read-only and without privileges; secrets and volumes that it uses are declared."""
    service = COMPOSE["services"]["jobs"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["ulimits"] == {"core": 0}
    assert set(service["secrets"]) == set(COMPOSE["secrets"])
    named = {each.partition(":")[0] for each in service["volumes"]}
    assert {name for name in named if "/" not in name} == set(COMPOSE["volumes"])
    assert all((DEPLOY / name).exists() for name in named if name.startswith("."))
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    (secret,) = COMPOSE["secrets"].values()
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/deploy/{Path(secret['file']).name}" in ignored


def test_the_pod_is_hardened() -> None:
    """It runs as a user without privileges, with a read-only root."""
    assert POD["spec"]["securityContext"]["runAsNonRoot"] is True
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_manifests_agree() -> None:
    """The selector matches the pod; each volume that is mounted exists, and what it needs is in the file."""
    assert set(MANIFESTS) == {"ConfigMap", "PersistentVolumeClaim", "Deployment"}
    labels = MANIFESTS["Deployment"]["spec"]["selector"]["matchLabels"]
    assert labels.items() <= POD["metadata"]["labels"].items()
    volumes = {volume["name"]: volume for volume in POD["spec"]["volumes"]}
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == set(volumes)
    assert volumes["config"]["configMap"]["name"] == MANIFESTS["ConfigMap"]["metadata"]["name"]
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    assert claim == MANIFESTS["PersistentVolumeClaim"]["metadata"]["name"]
    secret = volumes["master"]["secret"]["secretName"]
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert f"kubectl create secret generic {secret} --from-literal=supernova-master=" in readme


def test_the_configuration_of_the_manifests_is_valid(tmp_path: Path) -> None:
    """The YAML in the ConfigMap is a configuration of production."""
    (name,) = MANIFESTS["ConfigMap"]["data"]
    file = tmp_path / name
    file.write_text(MANIFESTS["ConfigMap"]["data"][name])
    assert configuration.load(file, environ={}).config.environment == "production"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def test_the_image() -> None:
    """The Dockerfile uses one base image, copies what exists, and ends as a user that is not root."""
    known = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "VOLUME", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    found = instructions()
    assert {name for name, _ in found} == known
    assert {words.split()[0] for name, words in found if name == "FROM"} == {"python:3.13-slim"}
    copied = [words.split()[:-1] for name, words in found if name == "COPY" and "--from" not in words]
    assert all((ROOT / source).exists() for sources in copied for source in sources)
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{source}" for sources in copied for source in sources} <= set(allowed)
    (user,) = [words for name, words in found if name == "USER"]
    assert user == f"{POD['spec']['securityContext']['runAsUser']}:10001"
    assert dict(found)["CMD"] == '["run"]'


def commands() -> Iterator[list[str]]:
    """Yield each ``supernova`` command of the examples, as words."""
    for path in UNITS:
        if path.suffix == ".service":
            yield unit(path)["Service"]["ExecStart"].split()[1:]
    for name, words in instructions():
        if name == "HEALTHCHECK":
            yield re.findall(r'"(\S+)"', words)[1:]
    yield CONTAINER["args"]
    for probe in ("startupProbe", "livenessProbe"):
        yield CONTAINER[probe]["exec"]["command"][1:]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_commands_exist(words: list[str]) -> None:
    """Each command and its options are those of the package."""
    commands: Any = get_command(app)
    known = {name for parameter in commands.commands[words[0]].params for name in parameter.opts}
    assert {word for word in words[1:] if word.startswith("-")} <= known
