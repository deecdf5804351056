"""The command as tests run it: in this process for its output, in one of its own for signals and pipes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from kvsfast.cli import main
from kvsfast.emulator import Emulator

#: A hang is no success; this is far more than anything here takes.
PATIENCE = 60


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """``kvsfast ARGUMENTS`` in this process."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return Outcome(code, captured.out, captured.err)


def command(*arguments: object) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-m", "kvsfast", *map(str, arguments)]


@contextmanager
def started(
    *arguments: object, terminal: int | None = None, start_new_session: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """``kvsfast ARGUMENTS`` as a process, gone at the end in any case. ``terminal``: for its output."""
    output = subprocess.PIPE if terminal is None else terminal
    process = subprocess.Popen(
        command(*arguments),
        stdout=output,
        stderr=output,
        env=environment(),
        start_new_session=start_new_session,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run_on_terminal(*arguments: object) -> tuple[int, bytes]:
    """``kvsfast ARGUMENTS`` on a terminal of its own: exit code, and what the terminal got."""
    master, slave = pty.openpty()
    try:
        with started(*arguments, terminal=slave) as process:
            os.close(slave)
            shown = b""
            while piece := _read_terminal(master):
                shown += piece
            return process.wait(PATIENCE), shown
    finally:
        os.close(master)


def _read_terminal(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # Linux says EIO when the last process has left the terminal
        return b""


def environment() -> dict[str, str]:
    """This one's, so that the process finds kvsfast where this one does."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def place(service: Emulator) -> list[object]:
    """Arguments of get-media that lead to the service. Credentials are in the environment: ``sign_in``."""
    trust = ["--ca-bundle", service.ca_certificate_path] if service.ca_certificate_path else []
    return ["--endpoint-url", service.endpoint_url, "--region", service.region, *trust]


def sign_in(service: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials that the service lets in, and nothing else that would be found on this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", service.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", service.credentials.secret_key)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
