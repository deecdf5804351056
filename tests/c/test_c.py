"""The C of src_c by itself: strict warnings, sanitizers, and inputs that end where readable memory ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("guard.c")
COMPILER = shutil.which((os.environ.get("CC") or "cc").split()[0])
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror"]
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


def compile_c(source: Path, program: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    assert COMPILER is not None
    command = [COMPILER, *flags, "-I", str(ROOT / "src_c"), str(source), "-o", str(program)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def run(program: Path) -> None:
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 1_000_000


@pytest.fixture
def has_sanitizers(tmp_path: Path) -> bool:
    source = tmp_path / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    program = tmp_path / "empty"
    return compile_c(source, program, *SANITIZERS).returncode == 0 and subprocess.call([program]) == 0


@pytest.mark.parametrize("header", sorted((ROOT / "src_c").glob("*.h")), ids=lambda path: path.name)
def test_each_header_stands_alone(header: Path, tmp_path: Path) -> None:
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{header.name}"\n#include "{header.name}"\nint main(void) {{ return 0; }}\n')
    # What is declared static in a header need not all be used by whoever includes it.
    done = compile_c(source, tmp_path / "alone", *WARNINGS, "-Wno-unused-const-variable")
    assert done.returncode == 0, done.stderr


def test_inputs_against_a_guard_page(tmp_path: Path) -> None:
    done = compile_c(PROGRAM, tmp_path / "guard", *WARNINGS, "-O3")
    assert done.returncode == 0, done.stderr
    run(tmp_path / "guard")


def test_inputs_against_a_guard_page_under_sanitizers(tmp_path: Path, has_sanitizers: bool) -> None:
    if not has_sanitizers:
        pytest.skip("this compiler has no AddressSanitizer or no UndefinedBehaviorSanitizer")
    done = compile_c(PROGRAM, tmp_path / "guard", *WARNINGS, *SANITIZERS)
    assert done.returncode == 0, done.stderr
    run(tmp_path / "guard")


def test_the_guard_page_guards(tmp_path: Path) -> None:
    """One byte too many is a crash, or the program above proves nothing."""
    source = tmp_path / "beyond.c"
    body = 'make_guard(); return *(volatile uint8_t *)(flush("abc", 3) + 3);'
    text = PROGRAM.read_text()
    source.write_text(text[: text.index("int main(void)")] + f"int main(void) {{ {body} }}\n")
    assert compile_c(source, tmp_path / "beyond", "-std=c11").returncode == 0
    assert subprocess.run([tmp_path / "beyond"], capture_output=True, check=False, timeout=100).returncode < 0
