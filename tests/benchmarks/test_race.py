"""The benchmark's runner at tiny sizes: that everybody reads the same. Nothing is timed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from statistics import median

import pytest

import kvsfast
from benchmarks import media, wire
from benchmarks.__main__ import main
from benchmarks.contenders import CONTENDERS, PythonContender
from benchmarks.contenders.ours import touch
from benchmarks.job import Job, Outcome, Server, Sums
from benchmarks.race import Disagreement, Lane, check, run_race, standings
from benchmarks.reference import walk

SERVER = Server("http://a", "http://b", "eu-west-1", "key", "secret", None, "stream")
JOB = Job(SERVER, 2, 1000, 1100, 600, Sums(10, 900, 7, 8))


@pytest.mark.parametrize("lane", [Lane("audio", "tls"), Lane("1080p", "tcp")])
def test_all_contenders_read_the_same(lane: Lane) -> None:
    contenders = list(CONTENDERS.values())
    race = run_race(
        contenders,
        workloads=[lane.workload],
        transports=[lane.transport],
        rounds=1,
        warm_up=0,
        media_bytes=1,
    )
    job, outcomes = race.jobs[lane]["frames"], race.outcomes[lane]
    if lane.workload == "audio":
        assert job.sums == Sums(6400, 6400 * 160, 409_536_000_000_000, 1_611_469)
    sums = {name: outcome.sums for name, (outcome,) in outcomes.items() if outcome.sums}
    assert sums.keys() >= {"frames", "fragments"}
    assert set(sums.values()) == {job.sums}
    assert outcomes["read"][0].read_bytes == job.media_bytes
    assert outcomes["bare"][0].read_bytes >= job.wire_bytes
    assert all(outcome.cpu_s > 0 and outcome.first_s > 0 for (outcome,) in outcomes.values())
    table = standings(race, contenders, lane)
    assert [standing.contender.name for standing in table] == list(outcomes)
    assert {standing.to_bare for standing in table if standing.contender.name.startswith("bare")} == {1.0}


def test_command_prints_a_table_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "record.json"
    options = [
        "--only",
        "read",
        "--workload",
        "audio",
        "--transport",
        "tcp",
        "--rounds",
        "2",
        "--bytes",
        "1MB",
    ]
    main([*options, "--json", str(record)])
    printed = capsys.readouterr().out
    assert "kvsfast read(65536)" in printed and "frames()" not in printed
    (lane,) = json.loads(record.read_text())["lanes"]
    assert lane["workload"] == "audio" and len(lane["outcomes"]["read"]) == 2
    assert lane["outcomes"]["read"][1]["read_bytes"] == lane["media_bytes"]
    assert lane["standings"][0]["to_bare"] is None


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("frames", Outcome(1, 1, 1, 1, 1, 1000, Sums(10, 900, 7, 9))),
        ("fragments", Outcome(1, 1, 1, 1, 1, 1000)),
        ("boto3", Outcome(1, 1, 1, 1, 1, 999)),
        ("pycurl", Outcome(1, 1, 1, 1, 1, 1000 + (1 << 20))),
        ("bare", Outcome(1, 1, 1, 1, 1, 1099)),
    ],
)
def test_who_reads_something_else_stops_the_race(name: str, outcome: Outcome) -> None:
    with pytest.raises(Disagreement, match=name):
        check(CONTENDERS[name], JOB, outcome)


def test_messages_survive_the_pipe() -> None:
    assert Job.from_json(JOB.to_json()) == JOB
    for outcome in (Outcome(1.5, 2, 3, 4, 5, 6), Outcome(1.5, 2, 3, 4, 5, 6, JOB.sums)):
        assert Outcome.from_json(outcome.to_json()) == outcome


def test_what_is_not_installed_is_named() -> None:
    needy = PythonContender("x", "x", "bytes", function="x.x", packages=("kvsfast", "no_such_package"))
    assert "no_such_package" in (needy.missing() or "")
    race = run_race(
        [needy, CONTENDERS["read"]],
        workloads=["audio"],
        transports=["tcp"],
        rounds=1,
        warm_up=0,
        media_bytes=1,
    )
    assert list(race.skipped) == ["x"]
    assert [list(outcomes) for outcomes in race.outcomes.values()] == [["read"]]


def test_reference_agrees_with_the_parser() -> None:
    documents = media.service_documents([[5, 1, 70_000], [3]])
    assert walk(documents) == touch(kvsfast.parse(documents).frames())
    assert walk(documents).bytes == 70_009


def test_synthetic_pieces_have_the_shape_of_the_recorded() -> None:
    shapes = [wire.synthetic_pieces()]
    recorded = wire.recorded_pieces()
    if recorded:
        assert sum(recorded) == 4_479_161
        shapes.append(recorded)
    for pieces in shapes:
        frames = wire.frame_sizes(pieces)
        assert median(pieces) == 20
        assert 0.6 < sum(size < 64 for size in pieces) / len(pieces) < 0.7
        assert len(frames) == 17
        assert 30_000 < sum(map(sum, frames)) / sum(map(len, frames)) < 40_000


def test_who_cannot_finish_is_named_and_the_others_go_on() -> None:
    broken = PythonContender("broken", "broken", "bytes", function="x.x")
    assert broken.missing() is None
    lane = Lane("audio", "tcp")
    race = run_race(
        [broken, CONTENDERS["read"]],
        workloads=[lane.workload],
        transports=[lane.transport],
        rounds=2,
        warm_up=0,
        media_bytes=1,
    )
    assert "audio over tcp: ended with status 1" in race.failed["broken"]
    assert "KeyError: 'broken'" in race.failed["broken"]
    assert {name: len(outcomes) for name, outcomes in race.outcomes[lane].items()} == {"broken": 0, "read": 2}
    table = standings(race, [broken, CONTENDERS["read"]], lane)
    assert [standing.contender.name for standing in table] == ["read"]


def test_the_slow_take_part_in_the_first_rounds_only() -> None:
    brief = dataclasses.replace(CONTENDERS["read"], most_rounds=1)
    lane = Lane("audio", "tcp")
    contenders = [CONTENDERS["bare"], brief]
    race = run_race(
        contenders,
        workloads=[lane.workload],
        transports=[lane.transport],
        rounds=3,
        warm_up=0,
        media_bytes=1,
    )
    bare, read = standings(race, contenders, lane)
    assert (len(bare.cpu), len(read.cpu)) == (3, 1)
    assert read.to_bare == read.cpu[0] / bare.cpu[0]
