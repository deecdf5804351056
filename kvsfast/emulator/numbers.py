"""Fragment numbers, built as the real ones were found to be: an integer of 157 bits in 47 decimal digits.

    1 << 156 | sequence << 92 | server time in ms << 28 | 28 bits that look random

Seen in every recorded response, documented nowhere: good for an emulator, never for a client to rely on.
"""

from __future__ import annotations

from typing import NamedTuple

from kvsfast.errors import UsageError

__all__ = ["FragmentNumber"]

_LEADING = 1 << 156
_MASK_64 = (1 << 64) - 1
_MASK_28 = (1 << 28) - 1


class FragmentNumber(NamedTuple):
    """What a fragment number holds: ``sequence`` rises by one per fragment, ``server_ms`` is epoch time."""

    sequence: int
    server_ms: int
    noise: int

    def __str__(self) -> str:
        return str(_LEADING | self.sequence << 92 | self.server_ms << 28 | self.noise)

    @classmethod
    def of(cls, sequence: int, server_ms: int, seed: int) -> FragmentNumber:
        """The number of a fragment. The noise follows from sequence and seed, so that it need not be kept."""
        mixed = (sequence * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03 + 0x2545F4914F6CDD1D) & _MASK_64
        mixed = (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 & _MASK_64
        return cls(sequence, server_ms, mixed >> 36)

    @classmethod
    def parse(cls, number: str) -> FragmentNumber:
        """The parts of a decimal fragment number; UsageError if it is none of this make."""
        if not (number.isascii() and number.isdigit() and len(number) <= 128):
            raise UsageError(f"{number!r} is no fragment number: expected up to 128 digits")
        value = int(number)
        if value >> 156 != 1:
            raise UsageError(
                f"{number} is no fragment number: expected 157 bits, it has {value.bit_length()}"
            )
        return cls(value >> 92 & _MASK_64, value >> 28 & _MASK_64, value & _MASK_28)
