"""A short torture run, and that the account it gives can be trusted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture import media
from tests.torture.ledger import Audit, Ledger, Line, audit
from tests.torture.plan import Choice

ROOT = Path(__file__).parents[2]


def torture(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.torture", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def test_a_short_run() -> None:
    done = torture("--quick", "--faults", "40", "--seed", "1", "--json", "--threads", "8", "--children", "2")
    found = json.loads(done.stdout)
    assert found["is_clean"], done.stdout + done.stderr
    assert done.returncode == 0
    total = found["total"]
    assert total["faults"] >= 40 and total["kills"] and total["restarts"] and total["delivered"]


def given(*indices: int) -> list[Line]:
    return [("given", index) for index in indices]


def audited(*lines: Line, count: int = 3, by_frame: bool = False) -> tuple[int, int, int]:
    found: Audit = audit(lines, 1, count, by_frame=by_frame)
    assert found.is_clean == (not found.notes)
    return found.lost, found.repeated, found.wrong


RUN: Line = ("run",)
C0: list[Line] = [("commits", 0), ("committed", 0)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([RUN, *given(0, 1, 2)], (0, 0, 0)),
        ([RUN, *given(0, 1), RUN, *given(0, 1, 2)], (0, 0, 0)),  # nothing was committed
        ([RUN, *given(0), *C0, RUN, *given(1, 2)], (0, 0, 0)),
        ([RUN, *given(0), ("commits", 0), RUN, *given(1, 2)], (0, 0, 0)),  # it may have been
        ([RUN, *given(0), ("commits", 0), RUN, *given(0, 1, 2)], (0, 0, 0)),  # or not
        ([RUN, *given(0, 2)], (1, 0, 0)),
        ([RUN, *given(0, 1)], (1, 0, 0)),
        ([RUN], (3, 0, 0)),
        ([RUN, *given(1, 2)], (1, 0, 0)),
        ([RUN, *given(0), RUN, *given(1, 2)], (1, 0, 0)),  # what was not committed must come again
        ([RUN, *given(0, 0, 1, 2)], (0, 1, 0)),
        ([RUN, *given(0, 1), *C0, RUN, *given(0, 1, 2)], (0, 1, 0)),
        ([RUN, *given(0, 1), ("commits", 0), RUN, *given(1), RUN, *given(0, 1, 2)], (0, 1, 0)),
        ([RUN, *given(0, 1, 2), ("wrong", 1)], (0, 0, 1)),
    ],
)
def test_what_is_found_in_a_ledger(lines: list[Line], expected: tuple[int, int, int]) -> None:
    assert audited(*lines) == expected


def frames_of(index: int, stream: int = 1) -> list[Line]:
    frames: list[Line] = [("frame", index, at) for at in range(len(media.frames(stream, index)))]
    return [*frames, ("given", index)]


def test_frames_are_followed_one_by_one() -> None:
    whole = [RUN, *frames_of(0), *frames_of(1), *frames_of(2)]
    assert audited(*whole, by_frame=True) == (0, 0, 0)
    long = next(index for index in range(3) if len(media.frames(1, index)) > 2)
    for at, line in enumerate(whole):
        if line in [("frame", long, 0), ("frame", long, 1)]:
            assert audited(*whole[:at], *whole[at + 1 :], by_frame=True) == (1, 0, 0)
            assert audited(*whole[: at + 1], line, *whole[at + 1 :], by_frame=True) == (0, 1, 0)
    assert audited(RUN, *frames_of(0)[:1], RUN, *whole[1:], by_frame=True) == (0, 0, 0)


def test_a_ledger_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    program = (
        "import os, sys; from pathlib import Path; from tests.torture.ledger import Ledger\n"
        "Ledger(Path(sys.argv[1])).write('frame', 7, 2); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    ledger = Ledger(path)
    ledger.write("run")
    assert ledger.lines() == [("frame", 7, 2), ("run",)]
    ledger.close()


def test_plans_come_from_the_seed() -> None:
    choice = Choice(1)
    assert choice.plan(5, "kill") == Choice(1).plan(5, "kill")
    assert choice.plan(5, "kill") != Choice(2).plan(5, "kill")
    drawn = {choice.plan(number, "kill").transport for number in range(50)}
    assert drawn == {"tcp", "tls", "sealed", "direct"}
