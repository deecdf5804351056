"""What came of it: sums, and whether anything is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.torture.ledger import Audit
from tests.torture.worker import Leaks, Report, Result

#: Resident memory may grow by so much between the second quarter of the sessions and the last.
MOST_GROWN_KIB = 16 * 1024
COLUMNS = (
    "sessions",
    "faults",
    "kills",
    "restarts",
    "delivered",
    "lost",
    "repeated",
    "wrong",
    "stuck",
    "leaked",
)


def summary(reports: list[Report]) -> dict[str, Any]:
    """All sums as plain values. ``rows``: by transport and interruption, granularity, store; ``total``."""
    results = [result for report in reports for result in report.results]
    leaks = [report.leaks for report in reports]
    groups: dict[str, list[Result]] = {}
    for result in results:
        plan = result.plan
        for key in (f"{plan.interruption} {plan.transport}", plan.granularity, plan.store):
            groups.setdefault(key, []).append(result)
    faults: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    events: Counter[str] = Counter()
    notes: list[str] = []
    for result in results:
        faults += result.closed.struck
        failures += result.failures
        events += result.events
        notes += result.audit.notes
        if result.stuck:
            notes.append(f"{result.plan} is stuck after {result.runs} runs")
    faults["SIGKILL"] += sum(result.kills for result in results)
    return {
        "total": _row(results),
        "rows": {key: _row(groups[key]) for key in sorted(groups)},
        "faults": dict(faults.most_common()),
        "gave_up": dict(failures.most_common()),
        "events": dict(events.most_common()),
        "slowest": {
            f"{each.plan.name} ({each.plan.interruption}, {each.plan.transport}, {each.plan.granularity},"
            f" {each.plan.store}) after {each.runs} runs": round(each.seconds)
            for each in sorted(results, key=lambda each: -each.seconds)[:3]
        },
        "planned_in_bodies": sum(result.closed.planned for result in results),
        "leaks": {
            "sockets": sum(leak.sockets for leak in leaks),
            "threads": sum(leak.threads for leak in leaks),
            "receive_memory": sum(leak.receive_memory for leak in leaks),
            "resident_kib": next((leak.resident for leak in leaks if leak.resident), []),
            "grown_kib": max((leak.grown for leak in leaks), default=0),
        },
        "notes": notes + [note for leak in leaks for note in leak.notes],
        "is_clean": is_clean(results, leaks),
    }


def _row(results: Iterable[Result]) -> dict[str, int]:
    results = list(results)
    found = Audit()
    for result in results:
        found.add(result.audit)
    return {
        "sessions": len(results),
        "faults": sum(result.closed.struck.total() + result.kills for result in results),
        "kills": sum(result.kills for result in results),
        "restarts": sum(result.runs - 1 for result in results),
        "delivered": found.delivered,
        "lost": found.lost,
        "repeated": found.repeated,
        "wrong": found.wrong + sum(result.crashes for result in results),
        "stuck": sum(result.stuck for result in results),
        "leaked": sum(result.closed.leaked for result in results),
    }


def is_clean(results: list[Result], leaks: list[Leaks]) -> bool:
    """Nothing lost, repeated, wrong, stuck or leaked."""
    row = _row(results)
    return (
        bool(results)
        and not any(row[name] for name in ("lost", "repeated", "wrong", "stuck", "leaked"))
        and not any(leak.sockets or leak.threads or leak.receive_memory for leak in leaks)
        and all(leak.grown <= MOST_GROWN_KIB for leak in leaks)
    )


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def text(found: dict[str, Any]) -> str:
    """The table for people."""
    width = max(len(key) for key in found["rows"])
    lines = [" " * width + "".join(f"{name:>11}" for name in COLUMNS)]
    for key, row in {**found["rows"], "all": found["total"]}.items():
        lines.append(f"{key:{width}}" + "".join(f"{row[name]:>11,}" for name in COLUMNS))
    for title in ("faults", "gave_up", "events", "leaks", "slowest"):
        told = ", ".join(f"{name} {_number(count)}" for name, count in found[title].items())
        lines.append(f"{title.replace('_', ' ')}: {told or 'none'}")
    lines += found["notes"][:40]
    return "\n".join(lines)
