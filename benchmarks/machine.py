"""Where and with what a measurement was made."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

__all__ = ["describe", "one_line", "said"]

ROOT = Path(__file__).parents[1]
PACKAGES = ("botocore", "boto3", "urllib3", "pycurl", "numpy", "Cython")


def describe() -> dict[str, str]:
    """Date, machine, load, versions, commit, and the command of this process."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} vCPU {_processor()}",
        "load": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION.partition("  ")[0].removeprefix("OpenSSL ").partition(" ")[0],
        **{package.lower(): version for package in PACKAGES if (version := _version(package))},
        "cc": said("cc", "-dumpfullversion"),
        "commit": said("git", "describe", "--always", "--dirty", "--abbrev=12"),
        "command": "python -m benchmarks " + " ".join(sys.argv[1:]),
    }


def one_line(about: dict[str, str]) -> str:
    """For the foot of a table."""
    versions = ", ".join(
        f"{name} {about[name]}" for name in ("python", "openssl", *map(str.lower, PACKAGES)) if name in about
    )
    return f"{about['date']}, {about['machine']}, load {about['load']}; {versions}; commit {about['commit']}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def said(*command: str) -> str:
    """What a command prints, "unknown" where it cannot be run."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
