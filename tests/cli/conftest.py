"""A local service on the shipped clip, and an environment that leads nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvsfast.emulator import Emulator
from kvsfast.emulator.clip import CLIP
from tests.cli.command import sign_in


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Stream ``demo`` is the clip, stored; its credentials are in the environment."""
    with Emulator({"demo": CLIP}) as service:
        sign_in(service, monkeypatch)
        yield service
