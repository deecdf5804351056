"""What a stream costs on which nothing happens.

    python -m tests.torture.idle --seconds 120

Its responses are empty and end at once, so that only the backoff keeps a consumer from asking all the time.
There may be no more than one call per step of it, and it may cost no more than a hundredth of a core.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import kvsfast
from kvsfast.emulator import Emulator

SPAWN = multiprocessing.get_context("spawn")
MOST_OF_A_CORE = 0.01


def _serve(connection: Connection) -> None:
    with Emulator({"silent": []}, idle_seconds=0.0) as service:
        connection.send(service.client_options())
        connection.recv()


def most_calls(seconds: float, policy: kvsfast.StandardResume) -> int:
    """How many calls the backoff allows in a time at most: each step lasts at least half of its length."""
    calls, at, step = 1, 0.0, policy.base
    while (at := at + step / 2) <= seconds:
        calls, step = calls + 1, min(policy.longest, 2 * step)
    return calls


def run(seconds: float) -> dict[str, Any]:
    """Consume a silent stream for some seconds: ``calls``, ``most_calls``, and the share of a ``core``."""
    ours, theirs = SPAWN.Pipe()
    server = SPAWN.Process(target=_serve, args=(theirs,))
    server.start()
    policy = kvsfast.StandardResume()
    try:
        with kvsfast.Client(**ours.recv()) as client:
            client.get_data_endpoint("silent")  # what is loaded once is not the price of silence
            consumer = client.consume("silent", kvsfast.StartSelector.earliest(), resume=policy)
            timer = threading.Timer(seconds, consumer.close)
            timer.start()
            began, used = time.monotonic(), time.process_time()
            with consumer:
                items = list(consumer)
            used, passed = time.process_time() - used, time.monotonic() - began
            timer.join()
            assert not items
            calls = consumer.stats.calls
    finally:
        ours.send("enough")
        server.join()
        server.close()
    return {
        "calls": calls,
        "most_calls": most_calls(passed, policy),
        "core": used / passed,
        "seconds": passed,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    found = run(parser.parse_args(arguments).seconds)
    print(
        f"{found['calls']} calls in {found['seconds']:.0f} s, of at most {found['most_calls']};"
        f" {found['core']:.2%} of a core"
    )
    return 0 if found["calls"] <= found["most_calls"] and found["core"] <= MOST_OF_A_CORE else 1


if __name__ == "__main__":
    sys.exit(main())
