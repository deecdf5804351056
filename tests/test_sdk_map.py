"""docs/sdk-map.md names everything that the Go and Rust clients export, and what it names is there."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import kvsfast
import kvsfast.aio

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/sdk-map.md"
NAMES: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("sdk_names.toml").read_text())
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")
KEYWORDS = {
    *inspect.signature(kvsfast.Client.__init__).parameters,
    *(
        field.name
        for cls in (kvsfast.Options, kvsfast.Endpoint, kvsfast.EndpointOptions)
        for field in dataclasses.fields(cls)
    ),
}


class Row(NamedTuple):
    language: str
    theirs: str
    ours: str
    shown: str


def rows() -> Iterator[Row]:
    language = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            language = line.removeprefix("## ").lower()
        elif line.startswith("| `"):
            theirs, ours, shown = (cell.strip() for cell in line.strip("|").split("|"))
            yield Row(language, theirs, ours, shown)


ROWS = list(rows())


@pytest.mark.parametrize("language", ["go", "rust"])
def test_no_name_is_missing_and_none_is_made_up(language: str) -> None:
    told = [name for row in ROWS if row.language == language for name in CODE.findall(row.theirs)]
    assert sorted(told) == sorted(NAMES[language]["names"])
    assert NAMES[language]["version"] in PAGE.read_text()


def is_there(name: str) -> bool:
    """Whether kvsfast has it: as attribute, or as a field that only instances have."""
    owner: Any = kvsfast
    for part in name.split(".")[1:]:
        if not hasattr(owner, part):
            return any(part in vars(cls).get("__annotations__", {}) for cls in getattr(owner, "__mro__", ()))
        owner = getattr(owner, part)
    return True


@pytest.mark.parametrize("row", ROWS, ids=lambda row: CODE.findall(row.theirs)[0])
def test_what_it_is_in_kvsfast(row: Row) -> None:
    if row.ours.startswith("not needed: "):
        assert row.shown == "-"
        return
    for name in CODE.findall(row.ours):
        if name.startswith("kvsfast"):
            assert is_there(name), name
        elif name.endswith("="):
            assert name.removesuffix("=") in KEYWORDS, name
    links = LINK.findall(row.shown)
    assert links and all(function in functions(path) for function, path in links)


@cache
def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_name_that_is_not_there_is_noticed() -> None:
    assert is_there("kvsfast.ServiceError.code") and is_there("kvsfast.Client.options")
    assert not is_there("kvsfast.Client.nothing") and not is_there("kvsfast.ServiceError.nothing")
