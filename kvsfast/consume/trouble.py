"""What went wrong lately, counted: how often in a row, and whether at the same fragment."""

from __future__ import annotations

from kvsfast.consume.policy import Ending
from kvsfast.errors import InStreamError, KvsFastError, ServiceError

__all__ = ["Trouble"]


class Trouble:
    """Counts since the last progress; what :class:`kvsfast.consume.policy.Outcome` tells of them."""

    def __init__(self) -> None:
        self.has_worked = False
        self.in_a_row = 0
        self.barren = 0
        self.failures = 0
        self._kind: object = None
        # the fragment that is cut or broken again and again
        self.number: str | None = None
        self.cuts = 0
        self.cut_in_this_call = False

    def call_begins(self) -> None:
        self.cut_in_this_call = False

    def call_ended(self, ending: Ending, error: KvsFastError | None, *, had_progress: bool) -> None:
        """Count a call."""
        if had_progress:
            self.in_a_row, self.barren, self.failures = 1, 0, int(error is not None)
        else:
            self.in_a_row = self.in_a_row + 1 if self._kind == _kind(ending, error) else 1
            self.barren += 1
            self.failures = self.failures + 1 if error is not None else 0
        self._kind = _kind(ending, error)

    def cut(self, number: str | None) -> int:
        """A fragment was cut or broken (None: before its number was known). How often in a row it was."""
        if number is not None and self.number not in (None, number):
            self.cuts = 0
        self.number = number or self.number
        self.cuts += 1
        self.cut_in_this_call = True
        return self.cuts

    def fragment_passed(self) -> None:
        """A fragment was dealt with: the trouble with it is over."""
        self.number = None
        self.cuts = 0
        self.cut_in_this_call = False


def _kind(ending: Ending, error: KvsFastError | None) -> object:
    """What makes two endings the same."""
    if isinstance(error, InStreamError):
        return ending, error.error_id
    if isinstance(error, ServiceError):
        return ending, error.code
    return ending, type(error)
