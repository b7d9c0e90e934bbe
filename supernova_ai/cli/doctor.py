"""``supernova doctor``: check the installation."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

import typer

from supernova_ai.cli.options import AsJson, ConfigPath, console, flag, print_json
from supernova_ai.operations.findings import SEVERITIES, Finding, worst

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}


def doctor(
    config: ConfigPath = None,
    fix: Annotated[
        bool, flag("--fix", help="Mend what can be mended safely, such as modes of files.")
    ] = False,
    offline: Annotated[bool, flag("--offline", help="Ask no provider.")] = False,
    fail_on: Annotated[
        Literal["note", "warning", "error"], typer.Option(help="Exit with 1 from this severity up.")
    ] = "error",
    json: AsJson = False,
) -> None:
    """Check everything that can be checked, and say what to do about each fault."""
    from supernova_ai.operations import doctor as checks  # imports LiteLLM: seconds

    findings = checks.examine(config, offline=offline)
    if fix:
        findings = checks.fix(findings)
    if json:
        print_json([_plain(finding) for finding in findings])
    else:
        _print(findings)
    if SEVERITIES.index(worst(findings)) >= SEVERITIES.index(fail_on):
        raise typer.Exit(1)


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "severity": finding.severity,
        "text": finding.text,
        "remedy": finding.remedy,
        "can_be_fixed": finding.fix is not None,
        "fixed": finding.fixed,
    }


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        label = "fixed" if finding.fixed else finding.severity
        console.print_labelled(
            f"{label:>7}", _COLOURS[finding.severity], f"  {finding.check}: {finding.text}"
        )
        if finding.remedy and not finding.fixed:
            console.print_labelled("", "", f"         → {finding.remedy}")
    counts = Counter(finding.severity for finding in findings if not finding.fixed)
    parts = [
        f"{counts[name]} {name}{'s' if counts[name] != 1 else ''}" for name in ("error", "warning", "note")
    ]
    console.print_labelled("", "", ", ".join(parts))
    if any(finding.fix is not None and not finding.fixed for finding in findings):
        console.print_labelled("", "", "supernova doctor --fix mends file modes")
