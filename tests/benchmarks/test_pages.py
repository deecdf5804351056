"""The pages hold what the record says, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.record.figures import Figures
from benchmarks.record.pages import HOME, PAGES, filled
from benchmarks.record.store import Record


@pytest.mark.parametrize("page", PAGES, ids=["benchmarks", "main"])
def test_the_pages_say_what_the_record_says(page: Path) -> None:
    """Nobody writes a figure by hand: ``python -m benchmarks record --render``."""
    text = page.read_text(encoding="utf-8")
    assert "<!-- record: " in text
    assert filled(text, Figures(Record.read(HOME / "record.json"))) == text
