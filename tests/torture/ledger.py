"""What a session did, line by line, and whether that is right.

Lines are written before and after whatever they tell of, so that a process may be killed between any two:

    run                     another process or consumer begins, from the checkpoint
    frame 7 2               the third frame of the eighth fragment was delivered, and is what it should be
    given 7                 all of the eighth fragment was
    commits 7               commit() is called
    committed 7             it has returned
    wrong ...               something was delivered that was never produced, or not so
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture import media

Line = tuple[str, *tuple[int, ...]]


class Ledger:
    """Lines in a file. What was written is there, even if the process is killed right after."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, what: str, *numbers: int) -> None:
        """One line, at once."""
        os.write(self._file, " ".join((what, *map(str, numbers))).encode() + b"\n")

    def lines(self) -> list[Line]:
        """All lines so far, of all processes."""
        lines: list[Line] = []
        for text in self.path.read_text().splitlines():
            what, *numbers = text.split()
            lines.append((what, *map(int, numbers)))
        return lines

    def close(self) -> None:
        os.close(self._file)


@dataclass
class Audit:
    """What is wrong with a ledger. ``notes`` say where."""

    delivered: int = 0
    committed: int = 0
    lost: int = 0
    repeated: int = 0
    wrong: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, other: Audit) -> None:
        self.delivered += other.delivered
        self.committed += other.committed
        self.lost += other.lost
        self.repeated += other.repeated
        self.wrong += other.wrong
        self.notes += other.notes

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.repeated or self.wrong)


def audit(lines: Iterable[Line], stream: int, count: int, *, by_frame: bool) -> Audit:
    """Every fragment delivered, in order, and after a restart from the one behind the last committed one.

    A commit that was under way when the process was killed may have been made or not. Within one run nothing
    may come twice.
    """
    return _Auditor(stream, by_frame=by_frame).run(list(lines), count)


class _Auditor:
    def __init__(self, stream: int, *, by_frame: bool) -> None:
        self._by_frame = by_frame
        self._stream = stream
        self._result = Audit()
        #: The last fragment that is committed for sure, and the last one that may be.
        self._sure = self._maybe = -1
        #: What has to come next: a fragment and a frame. None: a run has just begun.
        self._next: tuple[int, int] | None = None

    def run(self, lines: Sequence[Line], count: int) -> Audit:
        result = self._result
        delivered: set[int] = set()
        for what, *numbers in lines:
            if what == "run":
                self._next = None
            elif what == "frame":
                self._came(numbers[0], numbers[1])
            elif what == "given":
                if not self._by_frame:
                    self._came(numbers[0], 0)
                delivered.add(numbers[0])
            elif what == "commits":
                self._maybe = max(self._maybe, numbers[0])
            elif what == "committed":
                self._sure = max(self._sure, numbers[0])
                self._maybe = max(self._maybe, self._sure)
            else:
                result.wrong += 1
                self._note(f"{what} {numbers}")
        missing = sorted(set(range(count)) - delivered)
        # Those that were jumped over are counted already.
        at_the_end = [index for index in missing if index > max(delivered, default=-1)]
        if at_the_end:
            result.lost += len(at_the_end)
            self._note(f"fragments {at_the_end[0]} to {at_the_end[-1]} never came")
        result.delivered, result.committed = len(delivered), self._sure + 1
        return result

    def _came(self, index: int, at: int) -> None:
        expected = self._next
        if expected is None:
            if index <= self._sure:
                self._twice(index, at, "after it was committed")
            elif index > self._maybe + 1 or at:
                self._jump((self._sure + 1, 0), index, at)
            else:
                self._sure = max(self._sure, index - 1)
        elif (index, at) > expected:
            self._jump(expected, index, at)
        elif (index, at) < expected:
            self._twice(index, at, f"when {expected} was to come")
        following = (index, at + 1)
        if not self._by_frame or at + 1 >= len(media.frames(self._stream, index)):
            following = (index + 1, 0)
        self._next = max(following, expected or following)

    def _jump(self, expected: tuple[int, int], index: int, at: int) -> None:
        self._result.lost += max(1, index - expected[0])
        self._note(f"{(index, at)} came when {expected} was to come")

    def _twice(self, index: int, at: int, when: str) -> None:
        self._result.repeated += 1
        self._note(f"{(index, at)} came again {when}")

    def _note(self, text: str) -> None:
        self._result.notes.append(f"stream {self._stream}: {text}")
