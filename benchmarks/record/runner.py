"""Makes a record: each step is a process of its own, so that none leaves anything to the next, and none that
fails takes others along. What is there is written after each step."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.machine import ROOT
from benchmarks.record.steps import Step
from benchmarks.record.store import Done, Record
from benchmarks.rivals.programs import PROGRAMS

__all__ = ["make"]

#: Seconds after which a step is taken to hang.
HANG = 1500.0
#: Characters of what a step said when it failed, the last ones.
SAID = 1500


def make(steps: Sequence[Step], path: Path, say: Callable[[str], None]) -> Record:
    """Runs ``steps`` in turn, and writes ``path`` after each: KeyboardInterrupt loses one at most."""
    record = Record(machine.describe() | {"rivals": _toolchains()}, {})
    record.write(path)
    for at, step in enumerate(steps, 1):
        left = sum(later.minutes for later in steps[at - 1 :])
        command = f"python -m benchmarks {step.arguments}"
        say(f"[{at}/{len(steps)}] {step.name}: {command} (about {left:.0f} min left)")
        record.steps[step.name] = done = run(step)
        record.write(path)
        say(f"        {done.seconds:.0f} s" + (f", FAILED: {done.failed}" if done.failed else ""))
    return record


def run(step: Step) -> Done:
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory, "result.json")
        command = [sys.executable, "-m", "benchmarks", *shlex.split(step.arguments), "--json", str(result)]
        began = time.monotonic()
        try:
            ended = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=HANG, check=False
            )
        except subprocess.TimeoutExpired:
            failed: str | None = f"not done after {HANG:.0f} s"
        else:
            failed = _why(ended) if ended.returncode else None
        return Done(
            f"python -m benchmarks {step.arguments}",
            time.monotonic() - began,
            failed,
            json.loads(result.read_text()) if result.exists() else None,
        )


def _why(ended: subprocess.CompletedProcess[str]) -> str:
    """What it said at last, without the places of a traceback, which are this machine's."""
    lines = [line for line in ended.stderr.splitlines() if line.strip() and not line.startswith(" ")]
    return "\n".join(lines)[-SAID:] or f"ended with status {ended.returncode}"


def _toolchains() -> str:
    """What built the rivals, or why one is not there."""
    told = {name: program.missing() or program.toolchain.describe() for name, program in PROGRAMS.items()}
    return "; ".join(dict.fromkeys(told.values()))
