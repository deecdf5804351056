"""How long there was no media, over receives, waits and reconnects; and when that is to be told."""

from __future__ import annotations

__all__ = ["Quiet"]


class Quiet:
    """Silence while somebody waits: time that the user spends with a fragment does not count."""

    def __init__(self, tell_after: float) -> None:
        self._tell_after = tell_after
        self._told = 0
        self.since: float | None = None

    def begins(self, now: float) -> None:
        """Somebody begins to wait."""
        if self.since is None:
            self.since = now

    def ends(self) -> None:
        """Media came."""
        self.since = None
        self._told = 0

    def seconds(self, now: float) -> float:
        """Until now."""
        return 0.0 if self.since is None else now - self.since

    def next(self, now: float) -> float:
        """When it is to be told next, if nothing comes."""
        return (now if self.since is None else self.since) + self._tell_after * (self._told + 1)

    def is_due(self, now: float) -> bool:
        """Whether it is to be told now; then not again until as long has passed once more."""
        periods = int((self.seconds(now) + 1e-6) / self._tell_after)  # a wait may end a hair early
        if periods <= self._told:
            return False
        self._told = periods
        return True
