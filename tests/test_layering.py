"""Who may know whom: a room imports only from rooms above it (docs/architecture.md). Read from the files
themselves."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kvsfast"

#: Room -> rooms of kvsfast that it may import. ``*``: all.
DOORS: dict[str, str] = {
    "_version": "",
    "errors": "",
    "model": "errors",
    "tags": "errors model",
    "_native": "errors model tags",
    "forking": "",
    "steps": "errors",
    "protocols": "errors",
    "pacing": "errors forking",
    "retry": "errors pacing",
    "limiter": "errors forking steps",
    "options": "errors model protocols retry",
    "call_log": "options protocols",
    "signer": "protocols",
    "service_clock": "errors",
    "tls": "_native",
    "connection": "forking tls",
    "http_head": "connection errors protocols",
    "transport": "connection errors forking http_head protocols tls",
    "faults": "errors retry",
    "environment": "_version errors faults forking options protocols retry service_clock signer",
    "endpoint": "errors faults forking options protocols steps",
    "shapes": "",
    "read_ahead": "_native errors",
    "readiness": "",
    "stream": "_native errors forking model protocols read_ahead readiness shapes",
    "memory": "_native",
    "source": "_native errors model read_ahead stream",
    "consume": "_native _version errors faults forking model options protocols read_ahead readiness steps"
    " stream tags",
    "opening": "call_log endpoint environment errors faults limiter model options protocols signer steps"
    " stream",
    "client": "consume endpoint environment errors model opening options protocols retry steps stream "
    "transport",
    "aio": "_native client consume endpoint errors model options readiness shapes steps stream",
    "emulator": "_native errors model tags",
    "media": "_native errors model tags",
    "cli": "*",
    "__init__": "*",
    "__main__": "*",
}

#: Libraries that are a room's own: package -> rooms that may import it.
LIBRARIES: dict[str, str] = {
    "urllib3": "transport",
    "http.client": "connection http_head transport emulator",
    "ssl": "_native tls connection transport emulator",
    "botocore.exceptions": "consume errors faults",
    "botocore": "consume signer environment emulator",
    "boto3": "consume",
    "prometheus_client": "consume",
    "opentelemetry": "consume",
    "numpy": "media cli",
    "av": "media cli",
    "rich": "cli",
    "trustme": "emulator",
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].partition(".")[0]


def python_imports(text: str) -> Iterator[str]:
    """Modules that are imported when the code runs; what only a type checker reads is left out."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+)?c?import\s+(.+)$", re.MULTILINE)


def cython_imports(text: str) -> Iterator[str]:
    text = re.sub(r"\(([^()]*)\)", lambda match: match[1].replace("\n", " "), text)
    for module, names in CYTHON_IMPORT.findall(text):
        for name in names.partition("#")[0].split(","):
            name = name.strip().partition(" ")[0]
            if name:
                yield f"{module}.{name}" if module else name


FILES = sorted(path for pattern in ("*.py", "*.pyx", "*.pxd") for path in PACKAGE.rglob(pattern))


def imports(path: Path) -> set[str]:
    text = path.read_text()
    return set(python_imports(text) if path.suffix == ".py" else cython_imports(text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_doors(path: Path) -> None:
    room = room_of(path)
    assert room in DOORS, f"the table has no room {room}"
    allowed = DOORS[room].split()
    for name in imports(path):
        if not name.startswith("kvsfast.") or "*" in allowed:
            continue
        other = name.split(".")[1]
        assert other == room or other in allowed, f"{room} imports {other}, and may know {allowed}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries(path: Path) -> None:
    room = room_of(path)
    for name in imports(path):
        library = next((each for each in LIBRARIES if name == each or name.startswith(each + ".")), None)
        if library is not None:
            assert room in LIBRARIES[library].split(), f"{room} imports {name}"


def test_rooms_import_upwards_only() -> None:
    """The table itself has no circle: every room comes after those that it knows."""
    order = list(DOORS)
    for room, others in DOORS.items():
        for other in others.split():
            if other != "*" and room not in ("emulator", "media", "consume"):
                assert order.index(other) < order.index(room), f"{room} stands above {other}"


def test_the_reader_sees_what_it_must() -> None:
    assert set(python_imports("import a.b\nfrom c import d, e\nif TYPE_CHECKING:\n    import f")) == {
        "a.b",
        "c.d",
        "c.e",
    }
    cython = "from kvsfast._native.x cimport (\n    A,\n    B as C,\n)\ncimport cython  # why\n"
    cython += "from libc.math cimport *\n"
    assert set(cython_imports(cython)) == {
        "kvsfast._native.x.A",
        "kvsfast._native.x.B",
        "cython",
        "libc.math.*",
    }
    assert any("kvsfast.errors" in name for name in imports(PACKAGE / "_native" / "chunked.pyx"))


HEAVY = {"urllib3", "ssl", "http.client", "botocore.session"}


def loaded_by(program: str) -> set[str]:
    """Which of the heavy modules a fresh interpreter has after running the program."""
    program += f"\nimport sys\nprint(*({HEAVY!r} & set(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", program]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "program", ["import kvsfast", "import kvsfast; kvsfast.parse(b'')", "from kvsfast import Options"]
)
def test_what_is_not_loaded(program: str) -> None:
    assert loaded_by(program) == set()


def test_what_is_loaded_on_first_use() -> None:
    assert loaded_by("import kvsfast; kvsfast.Client") == HEAVY
