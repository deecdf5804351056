"""The file that holds a record: JSON in which each measurement has a line of its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["Done", "Record"]


@dataclass(frozen=True)
class Done:
    """A step that was made. ``result``: what its command writes by ``--json``, None if it came to nothing.
    ``failed``: why it is not what it should be."""

    command: str
    seconds: float
    failed: str | None
    result: dict[str, Any] | None


@dataclass
class Record:
    """``about``: when, where, with what. ``steps`` by name; those to come are not there."""

    about: dict[str, str]
    steps: dict[str, Done]

    @classmethod
    def read(cls, path: Path) -> Self:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return cls(fields["about"], {name: Done(**step) for name, step in fields["steps"].items()})

    def write(self, path: Path) -> None:
        path.write_text(_dumped(asdict(self)) + "\n", encoding="utf-8")


def _dumped(value: Any, depth: int = 0) -> str:
    """On one line what holds nothing nested; floats to six digits."""
    if isinstance(value, float):
        return json.dumps(float(f"{value:.6g}"))
    if not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    inner = value.values() if isinstance(value, dict) else value
    flat = not any(isinstance(each, dict | list) for each in inner)
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {_dumped(each, depth + 1)}"
            for key, each in value.items()
        ]
    else:
        parts = [_dumped(each, depth + 1) for each in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if flat:
        return f"{opening}{', '.join(parts)}{closing}"
    indent = "\n" + " " * (depth + 1)
    return f"{opening}{indent}{f',{indent}'.join(parts)}\n{' ' * depth}{closing}"
