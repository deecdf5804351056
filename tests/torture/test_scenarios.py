"""The short forms of the other programs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kvsfast import StandardResume
from tests.torture import idle

ROOT = Path(__file__).parents[2]


def run(program: str, *arguments: str) -> str:
    """What the program says; it must succeed."""
    command = [sys.executable, "-m", f"tests.torture.{program}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("store", "granularity"), [("sqlite", "fragments"), ("dynamodb", "frames")])
def test_a_consumer_that_is_killed_again_and_again(store: str, granularity: str) -> None:
    arguments = ("--kills", "5", "--minutes", "0.4", "--seed", "1", "--store", store, "--faults", "0.2")
    told = run("killed", *arguments, "--granularity", granularity)
    assert "5 kills in 24 s of stream time" in told
    assert "24 of 24 fragments delivered, 0 lost, 0 repeated after commit, 0 wrong" in told


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_share_four_streams() -> None:
    told = run("fleet", "--quick", "--lease", "3", "--seed", "1", "--patient")
    committed = re.search(r"(\d+) fragments committed, 0 twice, 0 lost, (\d+) times fenced", told)
    assert committed and int(committed[1]) > 100 and int(committed[2]) >= 2


def test_a_silent_stream_is_not_asked_all_the_time() -> None:
    found = idle.run(3.0)
    assert 1 < found["calls"] <= found["most_calls"]


def test_how_many_calls_the_backoff_allows() -> None:
    policy = StandardResume(base=1.0, longest=4.0)  # waits of at least 0.5, 1, 2, 2, 2 ...
    assert [idle.most_calls(seconds, policy) for seconds in (0.4, 0.5, 1.5, 3.5, 5.5, 7.5)] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
