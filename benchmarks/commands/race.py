"""The race itself: ``python -m benchmarks`` without a mode."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks import machine
from benchmarks.commands.build import build
from benchmarks.commands.options import MEGABYTE, add_json, count, say, size, write_json
from benchmarks.contender import Contender
from benchmarks.contenders import CONTENDERS
from benchmarks.job import Job
from benchmarks.race import Lane, Race, Standing, run_race, standings
from benchmarks.rivals.programs import PROGRAMS
from benchmarks.server import TRANSPORTS
from benchmarks.table import print_table
from benchmarks.workloads import WORKLOADS

#: Of media, for each contender.
QUICK_BYTES, USUAL_BYTES = 32 * MEGABYTE, 256 * MEGABYTE


def add_options(parser: argparse.ArgumentParser) -> None:
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument(
        "--quick", action="store_true", help="few contenders, 2 rounds of 32 MB of one workload: a minute"
    )
    extent.add_argument("--full", action="store_true", help="every workload; takes an hour")
    parser.add_argument("--build", action="store_true", help="build the rivals that are not, before the race")
    parser.add_argument(
        "--pace",
        type=size,
        metavar="BYTES",
        help="a second, as in 25MB, the service's own; else as fast as it goes",
    )
    parser.add_argument("--rounds", type=count, help="rounds that count, after one that does not (default 5)")
    parser.add_argument(
        "--bytes", type=size, help="media that each contender reads, as in 256MB (the default) or 1GB"
    )
    parser.add_argument(
        "--only", action="append", choices=CONTENDERS, metavar="NAME", help=f"of {', '.join(CONTENDERS)}"
    )
    parser.add_argument(
        "--workload", action="append", choices=WORKLOADS, metavar="NAME", help=f"of {', '.join(WORKLOADS)}"
    )
    parser.add_argument("--transport", action="append", choices=TRANSPORTS, metavar="NAME", help="tcp or tls")
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    about = machine.describe()
    if options.build:
        build(list(PROGRAMS))
    contenders = _contenders(options)
    race = run_race(
        contenders,
        workloads=_workloads(options),
        transports=options.transport or TRANSPORTS,
        rounds=options.rounds or (2 if options.quick else 5),
        media_bytes=options.bytes or (QUICK_BYTES if options.quick else USUAL_BYTES),
        pace=options.pace,
        say=say,
    )
    say("")
    for lane in race.outcomes:
        _print_lane(race, lane, standings(race, contenders, lane))
    for name, why in race.skipped.items():
        print(f"skipped {name}: {why}")
    print(machine.one_line(about))
    write_json(options.json, _record(race, contenders, about))
    if race.failed:
        raise SystemExit("\n".join(f"{name} failed in {why}" for name, why in race.failed.items()))


def _contenders(options: argparse.Namespace) -> list[Contender]:
    if options.only:
        return [CONTENDERS[name] for name in CONTENDERS if name in options.only]
    return [contender for contender in CONTENDERS.values() if contender.quick or not options.quick]


def _workloads(options: argparse.Namespace) -> list[str]:
    if options.workload:
        return [name for name in WORKLOADS if name in options.workload]
    if options.full:
        return list(WORKLOADS)
    return ["1080p"] if options.quick else ["1080p", "audio"]


def _print_lane(race: Race, lane: Lane, table: list[Standing]) -> None:
    job = _longest(race, lane)
    megabytes, frames = job.media_bytes / MEGABYTE, job.sums.frames
    framing = 100 * (job.wire_bytes / job.media_bytes - 1)
    print_table(
        f"{lane.workload} over {lane.transport}: {WORKLOADS[lane.workload].title}",
        ("contender", "CPU s/GB (min)", "/ bare", "MB/s", "% of a core", "first ms", "peak MiB (+)"),
        [
            (
                standing.contender.title,
                f"{standing.cpu_median:.3f} ({standing.cpu_least:.3f})",
                "-" if standing.to_bare is None else f"{standing.to_bare:.2f}",
                f"{standing.megabytes_per_second:.0f}",
                f"{100 * standing.share:.1f}",
                f"{standing.first_ms:.1f}",
                f"{standing.peak_mib:.0f} ({standing.growth_mib:.1f})",
            )
            for standing in table
        ],
        f"{megabytes:.0f} MB each: {job.fragments} fragments, {frames} frames; framing {framing:.2f} %",
    )


def _standing(standing: Standing) -> dict[str, object]:
    who = standing.contender
    about = {"contender": who.name, "title": who.title, "reads": who.reads, "kind": who.kind}
    figures = {name: value for name, value in vars(standing).items() if name != "contender"}
    return {**about, **figures}


def _longest(race: Race, lane: Lane) -> Job:
    """The usual job; some contenders have a shorter one."""
    return max(race.jobs[lane].values(), key=lambda job: job.media_bytes)


def _record(race: Race, contenders: list[Contender], about: dict[str, str]) -> dict[str, object]:
    return {
        "about": about,
        "lanes": [
            {
                **asdict(lane),
                "title": WORKLOADS[lane.workload].title,
                **{name: value for name, value in asdict(_longest(race, lane)).items() if name != "server"},
                "standings": [_standing(standing) for standing in standings(race, contenders, lane)],
                "outcomes": {name: [asdict(outcome) for outcome in all_] for name, all_ in outcomes.items()},
            }
            for lane, outcomes in race.outcomes.items()
        ],
        "skipped": race.skipped,
        "failed": race.failed,
    }
