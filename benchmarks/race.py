"""The race: every contender in its own process, against the same server, taking turns, for several rounds.

Results come before times: a contender whose sums differ from those of the reference reader, or that did not
read as far as the others, stops the race."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.contender import Contender
from benchmarks.job import Job, Outcome, Server
from benchmarks.machine import ROOT
from benchmarks.reference import Lap, read_lap
from benchmarks.server import TRANSPORTS, serving
from benchmarks.workloads import WORKLOADS

__all__ = ["Disagreement", "Lane", "Race", "Standing", "run_race", "standings"]

#: No reader asks for more at a time, so none can be further beyond the goal.
LARGEST_READ = 1 << 20
#: Seconds after which a contender is taken to hang.
HANG = 600.0


class Disagreement(Exception):
    """A contender read something else than the others."""


class ContenderFailed(Exception):
    """It did not come to an end by itself; the others go on without it."""


@dataclass(frozen=True)
class Lane:
    """One workload over one transport."""

    workload: str
    transport: str


@dataclass(frozen=True)
class Race:
    """``outcomes`` and ``jobs`` by lane and contender, one outcome for each round that it took part in.
    ``skipped``: contender -> why. ``failed``: likewise, of those that could not finish somewhere."""

    outcomes: dict[Lane, dict[str, list[Outcome]]]
    jobs: dict[Lane, dict[str, Job]]
    skipped: dict[str, str]
    failed: dict[str, str]


@dataclass(frozen=True)
class Standing:
    """What is said of a contender in a lane. ``cpu``: seconds per GB (1e9 bytes) of media, by round;
    ``to_bare``: median over the rounds of its CPU against the bare loop's of the same round, None if that did
    not run. ``share``: of one core, while reading. ``growth``: of resident memory while reading."""

    contender: Contender
    cpu: list[float]
    cpu_median: float
    cpu_least: float
    to_bare: float | None
    megabytes_per_second: float
    share: float
    first_ms: float
    peak_mib: float
    growth_mib: float


def run_race(
    contenders: Sequence[Contender],
    *,
    workloads: Sequence[str],
    transports: Sequence[str] = TRANSPORTS,
    rounds: int,
    warm_up: int = 1,
    media_bytes: int,
    pace: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Race:
    """``rounds`` after ``warm_up`` of them that do not count. Each reads whole laps of the media,
    ``media_bytes`` or a little less; at least one. ``pace``: bytes per second of each session, None for as
    fast as it goes."""
    skipped = {contender.name: why for contender in contenders if (why := contender.missing())}
    running = [contender for contender in contenders if contender.name not in skipped]
    commands = {contender.name: contender.command() for contender in running}
    failed: dict[str, str] = {}
    with serving(list(workloads), pace) as servers:
        lanes = [Lane(workload, transport) for workload in workloads for transport in transports]
        jobs = {
            lane: _jobs(servers[lane.workload, lane.transport], lane, running, media_bytes) for lane in lanes
        }
        outcomes: dict[Lane, dict[str, list[Outcome]]] = {
            lane: {contender.name: [] for contender in running} for lane in lanes
        }
        for turn in range(1 - warm_up, rounds + 1):
            for lane in lanes:
                for contender in running if turn % 2 else reversed(running):
                    name = contender.name
                    if name in failed or turn > (contender.most_rounds or rounds):
                        continue
                    say(f"round {turn} of {rounds}, {lane.workload} over {lane.transport}: {name}")
                    try:
                        outcome = _run(contender, commands[name], jobs[lane][name])
                    except ContenderFailed as failure:
                        failed[name] = f"{lane.workload} over {lane.transport}: {failure}"
                        continue
                    if turn > 0:
                        outcomes[lane][name].append(outcome)
    return Race(outcomes, jobs, skipped, failed)


def _jobs(server: Server, lane: Lane, contenders: Sequence[Contender], media_bytes: int) -> dict[str, Job]:
    lap = read_lap(server, len(WORKLOADS[lane.workload].make()[1]))
    return {
        contender.name: _job(server, lap, min(media_bytes, contender.most_bytes or media_bytes))
        for contender in contenders
    }


def _job(server: Server, lap: Lap, media_bytes: int) -> Job:
    laps = max(1, media_bytes // lap.media_bytes)
    return Job(
        server,
        laps * lap.fragments,
        laps * lap.media_bytes,
        laps * lap.wire_bytes,
        lap.largest_fragment,
        lap.sums.times(laps),
    )


def _run(contender: Contender, command: list[str], job: Job) -> Outcome:
    try:
        done = subprocess.run(
            command, input=job.to_json(), capture_output=True, text=True, timeout=HANG, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        raise ContenderFailed(f"not at its goal within {HANG:.0f} s") from None
    if done.returncode:
        raise ContenderFailed(f"ended with status {done.returncode}: {done.stderr.strip()[-2000:]}")
    outcome = Outcome.from_json(done.stdout)
    check(contender, job, outcome)
    return outcome


def check(contender: Contender, job: Job, outcome: Outcome) -> None:
    """Disagreement unless the contender read what the reference did."""
    if contender.reads == "frames":
        if outcome.sums != job.sums:
            raise Disagreement(f"{contender.name} found {outcome.sums}, the reference {job.sums}")
        return
    goal = job.wire_bytes if contender.reads == "wire" else job.media_bytes
    if not goal <= outcome.read_bytes < goal + LARGEST_READ:
        raise Disagreement(f"{contender.name} read {outcome.read_bytes} bytes, the goal was {goal}")


def gigabytes(contender: Contender, job: Job, outcome: Outcome) -> float:
    """GB of media that were read. A bare loop's share of framing is not counted, its receiving of it is."""
    framing = job.wire_bytes / job.media_bytes if contender.reads == "wire" else 1.0
    return outcome.read_bytes / framing / 1e9


def standings(race: Race, contenders: Sequence[Contender], lane: Lane) -> list[Standing]:
    """In the order of the contenders."""
    outcomes, jobs = race.outcomes[lane], race.jobs[lane]
    by_name = {contender.name: contender for contender in contenders if outcomes.get(contender.name)}
    cpu = {
        name: [outcome.cpu_s / gigabytes(contender, jobs[name], outcome) for outcome in outcomes[name]]
        for name, contender in by_name.items()
    }
    table = []
    for name, contender in by_name.items():
        bare = cpu.get(contender.bare)
        mine = outcomes[name]
        table.append(
            Standing(
                contender,
                cpu[name],
                median(cpu[name]),
                min(cpu[name]),
                median(own / floor for own, floor in zip(cpu[name], bare, strict=False)) if bare else None,
                median(1000 * gigabytes(contender, jobs[name], outcome) / outcome.wall_s for outcome in mine),
                median(outcome.cpu_s / outcome.wall_s for outcome in mine),
                median(1000 * outcome.first_s for outcome in mine),
                max(outcome.peak_bytes for outcome in mine) / 2**20,
                max(outcome.peak_bytes - outcome.base_bytes for outcome in mine) / 2**20,
            )
        )
    return table
