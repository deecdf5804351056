"""The fuzzer's command. Cases run in a child, so that a crash of compiled code is a finding like others."""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.fuzz import body, media

#: A case takes milliseconds.
HANGS_AFTER = 60.0


def case(seed: int, number: int) -> media.MediaCase | body.BodyCase:
    """The same seed and number make the same case, everywhere."""
    dice = random.Random(f"{seed}/{number}")
    return body.make(dice) if number % 4 == 3 else media.make(dice)


def work(seed: int, seconds: float, number: Any) -> None:
    """Check case after case. ``number``, shared with the parent, is that of the case under way."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            case(seed, number.value).check()
        except BaseException:
            traceback.print_exc()
            sys.exit(1)
        number.value += 1


def reproducer(seed: int, number: int, folder: Path) -> Path:
    """A file that shows the finding again when it is run from the project's root."""
    found = case(seed, number)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fuzz-{seed}-{number}.py"
    path.write_text(
        f'"""Found by python -m tests.fuzz --seed {seed}, case {number}."""\n\n'
        "from kvsfast.model import Limits  # noqa: F401\n"
        f"from {type(found).__module__} import {type(found).__name__}\n\n"
        f"{found!r}.check()\n"
    )
    return path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the compiled parser.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--folder", type=Path, default=Path(), help="where a finding is written to")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)

    context = multiprocessing.get_context("fork")
    number = context.Value("Q", 0, lock=False)
    child = context.Process(target=work, args=(seed, options.seconds, number))
    child.start()
    last, since = -1, time.monotonic()
    while child.is_alive():
        child.join(1.0)
        if number.value != last:
            last, since = number.value, time.monotonic()
        elif child.is_alive() and time.monotonic() - since > HANGS_AFTER:
            print(f"case {number.value} hangs")
            child.kill()
            child.join()
    if child.exitcode:
        if child.exitcode < 0:
            print(f"case {number.value} was ended by signal {-child.exitcode}")
        print(f"reproduce with: python {reproducer(seed, number.value, options.folder)}")
        return 1
    print(f"{number.value} cases, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
