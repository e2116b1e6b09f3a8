"""Looks every package of a list of requirements up among known holes, by pip-audit: `audit.py PIP_AUDIT REQUIREMENTS`.

Ends with 1 when one is known that a newer version mends, after naming both. Those without a mend are told alone. Where
the database does not answer, osv.dev's unless AUDIT_OSV_URL is another, nothing is looked up, and that is told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

_NO_ANSWER = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "Could not connect",
    "Max retries exceeded",
    "HTTPError",
)


def main(pip_audit: str, requirements: str) -> int:
    """What the command line asks for; returns the exit status."""
    command = [pip_audit, "--requirement", requirements, "--disable-pip", "--no-deps", "--vulnerability-service", "osv"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    if url := os.environ.get("AUDIT_OSV_URL"):
        command += ["--osv-url", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        if any(sign in done.stderr for sign in _NO_ANSWER):
            print(f"the audit is left out: the database of holes does not answer: {lines[-1][:200]}")
            return 0
        print(f"pip-audit failed: {lines[-1]}", file=sys.stderr)
        return 1
    mended = 0
    for package in packages:
        for hole in package.get("vulns", []):
            fixes = ", ".join(hole["fix_versions"])
            mended += bool(fixes)
            told = f"mended in {fixes}" if fixes else "no mend yet"
            print(f"{package['name']} {package['version']}: {hole['id']}, {told}")
    print(f"{len(packages):,} packages looked up; known holes that a newer version mends: {mended}")
    return 1 if mended else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
