"""A short run of the fuzzer, and proof that it would find something."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import fuzz, reference
from tests.fuzz import body, media
from tests.hostile import CLUSTER, HEAD, TRACKS, header_of
from tests.mkv_writer import element, info, segment, service_fragment, tags

ROOT = Path(fuzz.__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, cwd=ROOT)


def test_three_seconds_find_nothing(tmp_path: Path) -> None:
    done = run("--seconds", "3", "--seed", "4", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    seed, count = done.stdout.splitlines()
    assert seed == "seed 4"
    assert count.endswith("cases, nothing found")
    assert int(count.split()[0]) > 50


#: What the fuzzer found once, and stays mended.
FOUND = {
    "a plain Cluster cut before its Timestamp, after tags": (
        HEAD + segment(info(), tags(("place", "hall"))) + header_of("Cluster", 100)
    ),
    "a wall clock time beyond 64 bits": service_fragment(producer_ms=9_511_852_108_513, frames=()),
    "a broken second Tracks": (
        HEAD + segment(info(), TRACKS, element("Tracks", header_of("TrackEntry", 27, 1)), CLUSTER)
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_findings(name: str) -> None:
    media.MediaCase(FOUND[name]).check()


def test_cases_are_made_from_the_seed_alone() -> None:
    for make in (media.make, body.make):
        assert make(random.Random("1/2")) == make(random.Random("1/2"))
        assert make(random.Random("1/2")) != make(random.Random("1/3"))


def test_a_difference_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    case = media.MediaCase(service_fragment())
    case.check()
    real = reference.parse
    monkeypatch.setattr(reference, "parse", lambda data, **options: real(data[:-1], **options))
    with pytest.raises(AssertionError, match="streaming against the reference"):
        case.check()


def test_a_body_is_cut_or_whole() -> None:
    wire = b"5;a=b\r\nmedia\r\n0\r\nA: b\r\n\r\n"
    assert body.decode(wire) == body.decode(wire + b"HTTP") == (b"media", len(wire))
    assert body.decode(wire[:-1]) == (b"media", None)
    for end in range(len(wire) + 1):
        body.BodyCase(wire[:end], (1, 2, 9)).check()
    case = body.BodyCase(wire)
    assert eval(repr(replace(case, cuts=(3,))), vars(body)) == body.BodyCase(wire, (3,)), (
        "a reproducer is Python"
    )
