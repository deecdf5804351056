"""``python -m benchmarks``: see ``--help`` and README.md."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from benchmarks import machine, native
from benchmarks.commands import instructions
from benchmarks.commands.options import MEGABYTE, add_json, count, say, size, write_json
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.race import Lane, Race, Standing, run_race, standings
from benchmarks.server import TRANSPORTS
from benchmarks.table import print_table
from benchmarks.workloads import WORKLOADS


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    _add_race_options(parser)
    parser.set_defaults(run=_race)
    modes = parser.add_subparsers(title="or instead", metavar="MODE")
    micro = modes.add_parser("micro", help="ns per frame and HTTP decoding, in memory")
    micro.add_argument("--rounds", type=count, default=9, help="of each case, in turns (default 9)")
    add_json(micro)
    micro.set_defaults(run=_micro)
    latency = modes.add_parser("latency", help="from a paced server's send to the frame in hand")
    latency.add_argument(
        "--frames", type=count, default=200, help="of 500 bytes, one each 50 ms (default 200)"
    )
    add_json(latency)
    latency.set_defaults(run=_latency)
    counting = modes.add_parser("instructions", help=instructions.HELP)
    instructions.add_options(counting)
    counting.set_defaults(run=instructions.run)
    return parser


def _add_race_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="2 rounds of 32 MB: about a minute")
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


def _race(options: argparse.Namespace) -> None:
    about = machine.describe()
    contenders = [
        contender for name, contender in CONTENDERS.items() if not options.only or name in options.only
    ]
    race = run_race(
        contenders,
        workloads=options.workload or list(WORKLOADS),
        transports=options.transport or TRANSPORTS,
        rounds=options.rounds or (2 if options.quick else 5),
        media_bytes=options.bytes or (32 if options.quick else 256) * MEGABYTE,
        say=say,
    )
    say("")
    for lane in race.outcomes:
        _print_lane(race, lane, standings(race, contenders, lane))
    for name, why in race.skipped.items():
        print(f"skipped {name}: {why}")
    print(machine.one_line(about))
    write_json(options.json, _record(race, contenders, about))


def _print_lane(race: Race, lane: Lane, table: list[Standing]) -> None:
    job = race.jobs[lane]
    megabytes, frames = job.media_bytes / MEGABYTE, job.sums.frames
    framing = 100 * (job.wire_bytes / job.media_bytes - 1)
    print_table(
        f"{lane.workload} over {lane.transport}: {WORKLOADS[lane.workload].title}",
        ("contender", "CPU s/GB (min)", "/ bare", "MB/s", "first ms", "peak MiB (+)"),
        [
            (
                standing.contender.title,
                f"{standing.cpu_median:.3f} ({standing.cpu_least:.3f})",
                "-" if standing.to_bare is None else f"{standing.to_bare:.2f}",
                f"{standing.megabytes_per_second:.0f}",
                f"{standing.first_ms:.1f}",
                f"{standing.peak_mib:.0f} ({standing.growth_mib:.1f})",
            )
            for standing in table
        ],
        f"{megabytes:.0f} MB each: {job.fragments} fragments, {frames} frames; framing {framing:.2f} %",
    )


def _record(race: Race, contenders: list[Contender], about: dict[str, str]) -> dict[str, object]:
    return {
        "about": about,
        "lanes": [
            {
                **asdict(lane),
                "fragments": race.jobs[lane].fragments,
                "media_bytes": race.jobs[lane].media_bytes,
                "wire_bytes": race.jobs[lane].wire_bytes,
                "sums": asdict(race.jobs[lane].sums),
                "standings": [
                    {**asdict(standing), "contender": standing.contender.name}
                    for standing in standings(race, contenders, lane)
                ],
                "outcomes": {name: [asdict(outcome) for outcome in all_] for name, all_ in outcomes.items()},
            }
            for lane, outcomes in race.outcomes.items()
        ],
        "skipped": race.skipped,
    }


def _micro(options: argparse.Namespace) -> None:
    from benchmarks.micro import BODIES, SHAPES, Timing, measure_bodies, measure_frames

    about = machine.describe()
    record: dict[str, list[Timing]] = {}
    for name, shape in SHAPES.items():
        record[name] = timings = measure_frames(shape, options.rounds)
        print_table(
            f"{name}: 200-byte frames, {shape.frames_per_document} in a document",
            ("CPU", "ns/frame (min)", "/ first"),
            [
                (each.title, f"{each.median:.1f} ({each.best:.1f})", f"{each.median / timings[0].median:.2f}")
                for each in timings
            ],
        )
    for name, body in BODIES.items():
        record[f"http-{name}"] = timings = measure_bodies(body, options.rounds)
        print_table(
            f"HTTP chunks decoded: {body.title}",
            ("CPU", "GB/s (best)", "time / first"),
            [
                (each.title, f"{each.median:.1f} ({each.best:.1f})", f"{timings[0].median / each.median:.2f}")
                for each in timings
            ],
        )
    if why := native.missing():
        print(f"skipped the programs in C: {why}")
    print(machine.one_line(about))
    write_json(
        options.json,
        {"about": about, **{name: [asdict(each) for each in all_] for name, all_ in record.items()}},
    )


def _latency(options: argparse.Namespace) -> None:
    from benchmarks.latency import READERS, measure

    about = machine.describe()
    delays = [
        measure(reader, transport, frames=options.frames, interval_s=0.05)
        for transport in TRANSPORTS
        for reader in READERS
    ]
    print_table(
        f"{options.frames} frames of 500 bytes, one each 50 ms: ms from the send to the frame in hand",
        ("reader", "transport", "median", "95 %", "median from before the send"),
        [
            (
                delay.reader,
                delay.transport,
                f"{delay.median_ms:.3f}",
                f"{delay.p95_ms:.3f}",
                f"{delay.from_before_ms:.3f}",
            )
            for delay in delays
        ],
    )
    print(machine.one_line(about))
    write_json(options.json, {"about": about, "delays": [asdict(delay) for delay in delays]})


if __name__ == "__main__":
    main()
