"""Who meets which fault: planned ones in order, random ones by a seed. Decided once per request."""

from __future__ import annotations

import random
import threading
from collections import defaultdict, deque
from collections.abc import Collection, Sequence
from dataclasses import replace

from kvsfast.emulator.faults import (
    EMPTY_BODY,
    BodyFault,
    Broken,
    Cut,
    Drip,
    ErrorDocument,
    Fault,
    HttpError,
    NoAnswer,
    Operation,
    Stall,
)
from kvsfast.emulator.presets import PRESETS
from kvsfast.errors import UsageError

__all__ = ["Faults", "RandomFaults", "fault_of"]

#: Random faults in the media strike within so many fragments, or so many bytes as a power of two.
FRAGMENTS = 4
LARGEST_POWER = 20


def fault_of(fault: Fault | str) -> Fault:
    """The fault itself, or the preset of that name; UsageError if there is none."""
    if not isinstance(fault, str):
        return fault
    if fault not in PRESETS:
        raise UsageError(f"there is no fault {fault!r}, expected one of {', '.join(PRESETS)}")
    return PRESETS[fault].fault


class Faults:
    """The faults that were planned, and nothing else."""

    def __init__(self) -> None:
        self._planned: dict[tuple[str, Operation], deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()

    def plan(
        self, stream: str, *faults: Fault | str, times: int = 1, operation: Operation = "GetMedia"
    ) -> None:
        """The next requests for the stream meet these faults, one each; the whole row ``times`` times.

        A fault may be given by its name in PRESETS.
        """
        row = [fault_of(fault) for fault in faults]
        if operation == "GetDataEndpoint" and any(isinstance(fault, BodyFault) for fault in row):
            raise UsageError(
                "GetDataEndpoint has no media that could be cut: only HttpError and NoAnswer can be planned"
            )
        with self._lock:
            self._planned[stream, operation].extend(row * times)

    def planned(self, stream: str, operation: Operation = "GetMedia") -> int:
        """How many are still to be met."""
        with self._lock:
            return len(self._planned[stream, operation])

    def decide(self, stream: str, operation: Operation) -> Fault | None:
        """The fault of one request; it is used up."""
        with self._lock:
            planned = self._planned[stream, operation]
            return planned.popleft() if planned else None


class RandomFaults(Faults):
    """Planned faults first; otherwise each request meets one with probability ``share``.

    ``among``: names of PRESETS to draw from, by default all that pass by themselves. Faults in the media are
    put at a place of chance, and no stall is longer than ``longest_stall`` seconds. ``operations``: whose
    requests. What the n-th request for a stream meets depends on the seed, the stream's name, the operation
    and n alone.
    """

    def __init__(
        self,
        seed: int,
        share: float = 0.5,
        *,
        among: Collection[str] | None = None,
        operations: Sequence[Operation] = ("GetMedia",),
        longest_stall: float = 0.5,
    ) -> None:
        super().__init__()
        names = [name for name, preset in PRESETS.items() if preset.passes] if among is None else list(among)
        faults = [fault_of(name) for name in names]
        self._among: dict[Operation, list[Fault]] = {
            "GetMedia": faults,
            "GetDataEndpoint": [fault for fault in faults if not isinstance(fault, BodyFault)],
        }
        self._operations = frozenset(operations)
        for operation in self._operations:
            if not self._among.get(operation):
                raise UsageError(f"there is nothing to draw from for {operation} among {', '.join(names)}")
        self._seed = seed
        self._share = share
        self._longest_stall = longest_stall
        self._requests: dict[tuple[str, Operation], int] = defaultdict(int)

    def decide(self, stream: str, operation: Operation) -> Fault | None:
        planned = super().decide(stream, operation)
        if planned is not None or operation not in self._operations:
            return planned
        with self._lock:
            self._requests[stream, operation] += 1
            chance = random.Random(f"{self._seed}/{stream}/{operation}/{self._requests[stream, operation]}")
        if chance.random() >= self._share:
            return None
        return _somewhere(chance.choice(self._among[operation]), chance, self._longest_stall)


def _somewhere(fault: Fault, chance: random.Random, longest_stall: float) -> Fault:
    """The fault at a place of chance, and of an end."""
    seconds = chance.uniform(0.0, longest_stall)
    if isinstance(fault, NoAnswer):
        return replace(fault, seconds=seconds) if fault.how == "stall" else fault
    if isinstance(fault, HttpError) or fault == EMPTY_BODY:
        return fault
    fragment = chance.randrange(FRAGMENTS)
    if isinstance(fault, ErrorDocument | Broken):
        return replace(fault, fragment=fragment)
    after_bytes = int(2 ** chance.uniform(0, LARGEST_POWER)) if chance.random() < 0.3 else None
    if isinstance(fault, Cut):
        return replace(fault, fragment=fragment, after_bytes=after_bytes)
    if isinstance(fault, Stall):
        return replace(fault, fragment=fragment, after_bytes=after_bytes, seconds=seconds)
    drips = chance.randrange(1, 100)
    return Drip(seconds / drips, drips, fragment=fragment, after_bytes=after_bytes)
