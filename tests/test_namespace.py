"""What ``kvsfast`` shows is what its modules list, and all of it is documented."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import kvsfast

PACKAGE = Path(kvsfast.__file__).parent
#: Compiled modules list nothing: these of their names are public.
NATIVE = {"Fragment", "FragmentEnd", "FragmentParser", "FragmentStart", "Frame", "LateTags"}
#: What of the session is public: its modules list more for each other.
CONSUME = {
    "Checkpoint",
    "CheckpointStore",
    "Consumer",
    "ConsumerGroup",
    "ConsumerStats",
    "DigestMismatch",
    "DynamoCheckpoints",
    "Ending",
    "Gap",
    "GapReason",
    "GiveUp",
    "Idle",
    "MemoryCheckpoints",
    "Outcome",
    "Position",
    "PrometheusCollector",
    "Reconnected",
    "Resume",
    "ResumePolicy",
    "Rewound",
    "SessionChanges",
    "SessionEnd",
    "SessionEvent",
    "SessionOptions",
    "SqliteCheckpoints",
    "StandardResume",
    "StreamCheckpoint",
    "StreamReset",
    "Until",
    "Waiting",
    "consume_many",
    "observe_with_opentelemetry",
}
NAMES = sorted(set(kvsfast.__all__) - {"__version__"})


def listed() -> set[str]:
    names: set[str] = set()
    for path in PACKAGE.glob("*.py"):
        if path.name == "__init__.py":
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names |= set(ast.literal_eval(node.value))
    return names


def test_namespace_is_the_union_of_what_modules_list() -> None:
    assert set(NAMES) == listed() | NATIVE | CONSUME
    assert len(kvsfast.__all__) == len(set(kvsfast.__all__))
    assert dir(kvsfast) == sorted(kvsfast.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(kvsfast, name)
    if isinstance(value, type) or callable(value):
        assert value.__doc__ and value.__doc__.strip(), f"{name} has no docstring"
        # Not just the signature, which dataclass and Cython make up.
        assert not re.fullmatch(rf"{name}\(.*\)", value.__doc__), f"{name} has no docstring of its own"


def public_members(cls: type) -> list[tuple[str, Any]]:
    return [
        (name, value) for name, value in vars(cls).items() if not name.startswith("_") and callable(value)
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(getattr(kvsfast, name), type)])
def test_every_public_method_is_documented(name: str) -> None:
    cls = getattr(kvsfast, name)
    if issubclass(cls, int | str | dict):  # enumerations and TypedDicts
        return
    undocumented = [member for member, value in public_members(cls) if not getattr(value, "__doc__", None)]
    inherited = {
        "sign",
        "send",
        "detach",
        "read_body",
        "set_timeout",
        "shutdown",
        "close",
        "before_fork",
        "after_fork_in_parent",
        "after_fork",
    }  # documented in the protocol
    assert not set(undocumented) - inherited


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        getattr(kvsfast, "Klient")  # noqa: B009  (mypy knows that it is not there)


def test_star_import_gives_everything() -> None:
    program = (
        "from kvsfast import *\nimport kvsfast\nassert all(name in globals() for name in kvsfast.__all__)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_version_is_the_projects() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    assert kvsfast.__version__ == project["project"]["version"]
