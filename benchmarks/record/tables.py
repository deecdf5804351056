"""The tables of the record, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.record.figures import Figures
from benchmarks.record.goals import Verdict, verdicts

__all__ = ["BLOCKS", "quick_note"]

MIB = 1 << 20
ABSENT = "–"
VERSIONS = ("python", "openssl", "botocore", "boto3", "urllib3", "pycurl", "numpy", "cython", "cc")
#: Of a race, and what a lane's columns are called.
TRANSPORTS = (("tls", "TLS"), ("tcp", "TCP"))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---:") -> str:
    """The first column is text, the others are numbers, or as ``align`` says."""
    lines = [columns, ["---", *[align] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# -- where and how


def about(figures: Figures) -> str:
    said = figures.record.about
    versions = {name: version for name in VERSIONS if (version := said.get(name))}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        quick_note(figures)
        + f"`{said['command']}` on {said['date'][:16].replace('T', ' ')} UTC, {said['machine']}, "
        f"{said['system']}, load {said['load']} before it, commit {said['commit']}.\n"
        f"Versions: {listed}; the rivals by {said['rivals']}."
    )


def quick_note(figures: Figures) -> str:
    """What has to be said of figures out of a quick run."""
    if "--quick" not in figures.record.about["command"].split():
        return ""
    return "**A quick run: it shows that everything works, not what it costs.** "


def steps(figures: Figures) -> str:
    rows = [
        (f"`{step.command}`", f"{step.seconds:.0f}", "failed: see below" if step.failed else "")
        for step in figures.record.steps.values()
    ]
    failed = [
        f"`{name}` failed:\n\n```\n{step.failed}\n```"
        for name, step in figures.record.steps.items()
        if step.failed
    ]
    return "\n\n".join([table(("step", "s", ""), rows), *failed])


def skipped(figures: Figures) -> str:
    absent: dict[str, str] = {}
    for step in figures.record.steps.values():
        absent |= (step.result or {}).get("skipped", {})
    if not absent:
        return "Nobody was left out."
    return "\n".join(["Not there, and why:", "", *(f"* `{name}`: {why}" for name, why in absent.items())])


# -- goals


def goals(figures: Figures) -> str:
    judged = verdicts(figures)
    met = sum(verdict.met is True for verdict in judged)
    rows = [
        (verdict.what, verdict.goal, _bold(verdict.reached, verdict.met), _answer(verdict), verdict.limit)
        for verdict in judged
    ]
    count = f"{met} of {len(judged)} rows are met."
    return (
        count + "\n\n" + table(("what", "goal", "reached", "met", "the limit in the same run"), rows, "---")
    )


def _answer(verdict: Verdict) -> str:
    return {True: "yes", False: "**no**", None: "?"}[verdict.met]


def _bold(text: str, met: bool | None) -> str:
    return f"**{text}**" if met is False else text


# -- whole processes


def _race(figures: Figures, step: str, workload: str) -> str:
    lanes = {transport: figures.standings(step, workload, transport) for transport, _ in TRANSPORTS}
    names = list(dict.fromkeys(name for lane in lanes.values() for name in lane))
    if not names:
        return _not_measured(figures, step)
    columns = ["contender"]
    for _, title in TRANSPORTS:
        columns += [f"{title}: CPU s/GB (least)", "/ bare", "MB/s"]
    rows = []
    for name in names:
        standing = next(lane[name] for lane in lanes.values() if name in lane)
        row = [_title(standing)]
        for transport, _ in TRANSPORTS:
            row += _lane_cells(lanes[transport].get(name))
        peak = max(lane[name]["peak_mib"] for lane in lanes.values() if name in lane)
        row += [f"{peak:.0f}", str(len(standing["cpu"]))]
        rows.append(row)
    return table([*columns, "peak MiB", "rounds"], rows)


def _lane_cells(standing: dict[str, Any] | None) -> list[str]:
    if standing is None:
        return [ABSENT] * 3
    bare = standing["to_bare"]
    return [
        f"{standing['cpu_median']:.3f} ({standing['cpu_least']:.3f})",
        ABSENT if bare is None else f"{bare:.2f}",
        f"{standing['megabytes_per_second']:.0f}",
    ]


def _title(standing: dict[str, Any]) -> str:
    title = str(standing["title"])
    return f"**{title}**" if standing["kind"] == "kvsfast" else title


def race(figures: Figures) -> str:
    return _race(figures, "race-1080p", "1080p")


def audio(figures: Figures) -> str:
    return _race(figures, "race-audio", "audio")


def workloads(figures: Figures) -> str:
    """A row for each workload and transport: ours against the floor and the closest."""
    pairs = (
        ("frames", "bare"),
        ("fragments", "bare-fragments"),
        ("frames", "boto3"),
        ("frames", "pycurl"),
        ("frames", "go-sdk-v2"),
        ("frames", "rust-sdk"),
        ("c-receive", "bare"),
    )
    rows = []
    for lane in figures.lanes("race-workloads"):
        workload, transport = lane["workload"], lane["transport"]
        row = [f"`{workload}` over {transport.upper()}"]
        for mine, other in pairs:
            found = figures.race(mine, other, transport, step="race-workloads", workload=workload)
            row.append(f"{found.median:.2f}" if found else ABSENT)
        rows.append(row)
    if not rows:
        return _not_measured(figures, "race-workloads")
    return table(["CPU, ratios", *(f"`{mine}` / `{other}`" for mine, other in pairs)], rows)


def paced(figures: Figures) -> str:
    lanes = {one: figures.standings("race-paced", "1080p", one) for one, _ in TRANSPORTS}
    names = list(dict.fromkeys(name for lane in lanes.values() for name in lane))
    if not names:
        return _not_measured(figures, "race-paced")
    rows = []
    for name in names:
        standing = next(lane[name] for lane in lanes.values() if name in lane)
        rows.append([_title(standing), *(_paced_cell(lanes[one].get(name)) for one, _ in TRANSPORTS)])
    return table(["share of a core at 25 MB/s", *(f"{title}: %" for _, title in TRANSPORTS)], rows)


def _paced_cell(standing: dict[str, Any] | None) -> str:
    """Of CPU per GB: the wall clock has the opening in it."""
    return ABSENT if standing is None else f"{100 * standing['cpu_median'] * 0.025:.1f}"


# -- in memory


def micro(figures: Figures) -> str:
    rows: dict[str, list[str]] = {}
    parts = ("tiny", "kvs_tiny")
    for step in ("micro", "micro-rivals"):
        for at, part in enumerate(parts):
            timings = figures.result(step).get(part, ())
            for one in timings:
                title = _micro_title(one["title"])
                row = rows.setdefault(title, [title, ABSENT, ABSENT, str(len(one["rounds"]))])
                if row[at + 1] == ABSENT:  # ours and C's are in both steps: the one with more rounds counts
                    row[at + 1] = f"{one['median']:.1f} ({one['best']:.1f})"
    if not rows:
        return _not_measured(figures, "micro")
    frames = table(
        ("ns per 200-byte frame (least)", "1,000 a document", "80 a document", "rounds"), rows.values()
    )
    bodies = [
        [f"{one['title']}, {part.partition('-')[2]}", f"{one['median']:.1f} ({one['best']:.1f})"]
        for part in ("http-1080p", "http-audio")
        for one in figures.result("micro").get(part, ())
    ]
    return frames + "\n\n" + table(("HTTP chunks decoded", "GB/s (best)"), bodies)


def _micro_title(title: str) -> str:
    return f"**kvsfast {title}**" if title.startswith(("fragments()", "frames()", "events()")) else title


def latency(figures: Figures) -> str:
    delays = figures.result("latency").get("delays", ())
    if not delays:
        return _not_measured(figures, "latency")
    rows = [
        (
            f"{one['reader']}, {one['transport'].upper()}",
            f"{one['median_ms']:.3f}",
            f"{one['p95_ms']:.3f}",
            f"{one['from_before_ms']:.3f}",
        )
        for one in delays
    ]
    return table(
        ("ms from the send to the frame in hand", "median", "95 %", "median from before the send"), rows
    )


def curves(figures: Figures) -> str:
    drawn = figures.result("curves").get("curves", ())
    if not drawn:
        return _not_measured(figures, "curves")
    rows = [
        (
            curve["title"],
            f"{curve['points'][0]['x']:,.0f}",
            f"{curve['points'][-1]['x']:,.0f}",
            f"{1000 * curve['points'][-1]['seconds']:.2f}",
            f"{curve['r_squared']:.4f}",
            f"{100 * curve['curved']:.1f} %",
        )
        for curve in drawn
    ]
    return table(("what grows", "from", "to", "ms at most", "R²", "square term"), rows)


# -- long, many, first


def session(figures: Figures) -> str:
    sessions = figures.sessions()
    if not sessions:
        return _not_measured(figures, "session-tcp")
    rows = []
    for one in sessions:
        resident = [point["resident_bytes"] for point in one["points"]]
        fifth = max(1, len(resident) // 5)
        sizes = (
            one["base_bytes"],
            max(resident[:fifth]),
            max(resident[-fifth:]),
            one["peak_bytes"],
            one["limit_bytes"],
        )
        read = one["points"][-1]["read_bytes"] / 1e9
        rows.append([one["title"], f"{read:.1f}", *(f"{size / MIB:.1f}" for size in sizes)])
    return table(("resident MiB", "GB", "before", "first fifth", "last fifth", "peak", "limit"), rows)


def fleet(figures: Figures) -> str:
    fleets = figures.fleets()
    if not fleets:
        return _not_measured(figures, "fleet")
    rows = [
        (
            f"{one['fleet']['title']} over {one['fleet']['transport'].upper()}: "
            + (f"**{one['reader']}**" if one["reader"].startswith("kvsfast") else one["reader"]),
            f"{100 * one['share']:.1f}",
            f"{one['megabytes_per_second']:.0f}",
            f"{one['peak_bytes'] / MIB:.0f}",
            f"{100 * one['slowest']:.1f} %",
        )
        for one in fleets
    ]
    return table(("", "% of a core", "MB/s", "peak MiB", "slowest stream"), rows)


def start(figures: Figures) -> str:
    result = figures.result("start")
    if not result:
        return _not_measured(figures, "start")
    imports = table(
        ("import in a new process", "CPU ms (least)"),
        [
            (f"`{one['module']}`", f"{one['median_ms']:.1f} ({one['best_ms']:.1f})")
            for one in result["imports"]
        ],
    )
    calls = table(
        ("first `get_media`", "control-plane calls", "connections", "round trips", "of them TLS"),
        [
            (
                one["transport"].upper(),
                *(str(one[what]) for what in ("control_calls", "connections", "round_trips", "handshake")),
            )
            for one in result["calls"]
        ],
    )
    return f"{imports}\n\n{calls}"


def _not_measured(figures: Figures, step: str) -> str:
    done = figures.record.steps.get(step)
    return f"Not measured in this run: `{step}` {'failed' if done else 'was not made'}."


_ALL = (
    about,
    steps,
    skipped,
    goals,
    race,
    audio,
    workloads,
    paced,
    micro,
    latency,
    curves,
    session,
    fleet,
    start,
)
BLOCKS = {function.__name__: function for function in _ALL}
