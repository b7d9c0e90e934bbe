"""Check requirements.lock against known advisories; fail on one that is not an exception.

pip-audit asks PyPI's JSON API. A mirror may not have it: then nothing is checked, and the step says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

_PROXY = "in LiteLLM's proxy server, which this package neither starts nor imports"

EXCEPTIONS: Mapping[str, str] = {
    "CVE-2026-12772": _PROXY,
    "CVE-2026-12795": _PROXY,
    "CVE-2026-12796": _PROXY,
    "CVE-2026-42208": _PROXY,
    "CVE-2026-49468": _PROXY,
}
"""Advisories that do not apply, and why. docs/dependencies.md has the same list."""

_AUDIT = (
    *("uvx", "--quiet", "--from", "pip-audit>=2.9,<3", "pip-audit"),
    *("--requirement", "requirements.lock", "--require-hashes", "--disable-pip"),
    *("--format", "json", "--progress-spinner", "off"),
)


def judge(report: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the findings of pip-audit's report that fail the check, and the packages it could not check."""
    findings, unchecked = [], []
    for package in report["dependencies"]:
        if "skip_reason" in package:
            unchecked.append(package["name"])
        for found in package.get("vulns", ()):
            names = {found["id"], *found["aliases"]}
            if names.isdisjoint(EXCEPTIONS):
                mended = ", ".join(found["fix_versions"]) or "no version"
                where = f"{package['name']} {package['version']}"
                findings.append(f"{where}: {', '.join(sorted(names))}; fixed in {mended}")
    return findings, unchecked


def main() -> int:
    """Run the check; return the exit status."""
    reason = ""
    try:
        done = subprocess.run(_AUDIT, capture_output=True, text=True, check=False)  # noqa: S603 - words of ours
        reason = done.stderr.strip()[-500:]
        findings, unchecked = judge(report := json.loads(done.stdout))
    except (OSError, ValueError) as error:  # pip-audit could not run, or printed no report
        print(f"NOT CHECKED: no advisory list available: {reason or error}")  # noqa: T201
        return 0
    for finding in findings:
        print(finding)  # noqa: T201
    count = len(report["dependencies"])
    print(f"{count - len(unchecked)} of {count} packages checked, {len(findings)} findings")  # noqa: T201
    if unchecked:
        names = ", ".join(unchecked) if len(unchecked) < count else "any package"
        print(f"NOT CHECKED: no advisory list available for {names}")  # noqa: T201
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
