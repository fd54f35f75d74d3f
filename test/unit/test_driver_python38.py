"""The driver runs on a robot computer with Python 3.8: what it imports keeps to that version."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPORT_ALL = (
    "import importlib, json, pathlib, sys\n"
    "for file in pathlib.Path('uniros_env_server/driver').glob('*.py'):\n"
    "    importlib.import_module('uniros_env_server.driver.' + file.stem)\n"
    "print(json.dumps({n: getattr(m, '__file__', None) for n, m in sys.modules.items()}))"
)
# In the standard library since 3.9 or later, by module; None: the module itself.
NEWER = {
    "functools": {"cache"}, "math": {"lcm", "nextafter", "ulp", "cbrt", "exp2", "sumprod"},
    "itertools": {"pairwise", "batched"}, "random": {"randbytes"}, "os": {"pidfd_open", "waitstatus_to_exitcode"},
    "typing": {"Self", "TypeAlias", "ParamSpec", "Annotated", "assert_never", "NotRequired", "override", "TypeGuard"},
    "enum": {"StrEnum", "verify", "member"}, "datetime": {"UTC"}, "contextlib": {"chdir", "aclosing"},
    "asyncio": {"to_thread", "timeout", "TaskGroup"},
    "zoneinfo": None, "graphlib": None, "tomllib": None,
}
NEWER_METHODS = {"removeprefix", "removesuffix", "is_relative_to", "with_stem", "hardlink_to", "add_note"}
NEWER_KEYWORDS = {("dataclass", "slots"), ("dataclass", "kw_only"), ("zip", "strict"), ("shutdown", "cancel_futures")}


@pytest.fixture(scope="module")
def imported() -> list[Path]:
    """The files of this project that the driver imports, and its node."""
    result = subprocess.run([sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [Path(file) for file in json.loads(result.stdout.splitlines()[-1]).values() if file]
    ours = [file for file in files if file.is_relative_to(ROOT) and ".venv" not in file.parts]
    return [*ours, ROOT / "uniros_env_server/nodes/rx200_driver"]


def test_of_this_project_it_imports_only_itself(imported: list[Path]) -> None:
    names = {str(file.relative_to(ROOT)) for file in imported}
    others = {name for name in names if not name.startswith("uniros_env_server/driver/")}
    assert others == {f"uniros_env_server/{name}" for name in ("__init__.py", "nodes/rx200_driver")}
    assert len(names) > 20


def test_syntax_is_that_of_python_3_8(imported: list[Path]) -> None:
    for file in imported:
        ast.parse(file.read_text(), str(file), feature_version=(3, 8))


def test_nothing_newer_than_python_3_8_is_used(imported: list[Path]) -> None:
    found = [f"{file.name}:{line}: {what}" for file in imported for line, what in newer(ast.parse(file.read_text()))]
    assert found == []


def newer(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, what) that Python 3.8 does not have. Annotations are left out: they are never evaluated."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in NEWER:
            new = NEWER[node.module]
            found += [(node.lineno, alias.name) for alias in node.names if new is None or alias.name in new]
        elif isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names if NEWER.get(alias.name, ()) is None]
        elif isinstance(node, ast.Attribute):
            of = NEWER.get(getattr(node.value, "id", ""), ()) or ()
            found += [(node.lineno, node.attr)] if node.attr in {*of, *NEWER_METHODS} else []
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            found += [(node.lineno, "parents[:]")] if getattr(node.value, "attr", "") == "parents" else []
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            found += [(node.lineno, f"{name}({k.arg}=)") for k in node.keywords if (name, k.arg) in NEWER_KEYWORDS]
        elif isinstance(node, ast.Assign):
            found += generic(node.value)
        elif isinstance(node, ast.ClassDef):
            found += [entry for base in node.bases for entry in generic(base)]
    return found


def generic(node: ast.AST) -> list[tuple[int, str]]:
    """A builtin class with type parameters outside an annotation."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in (
            "list", "dict", "tuple", "set", "frozenset", "type"):
        return [(node.lineno, f"{node.value.id}[]")]
    return []


@pytest.mark.parametrize("text", [
    "from functools import cache", "import zoneinfo", "'a'.removeprefix('b')", "import math\nmath.lcm(1, 2)",
    "zip(a, b, strict=True)", "path.parents[1:]", "Pair = tuple[int, int]", "class A(dict[str, int]): ..."])
def test_the_check_itself_finds_what_is_newer(text: str) -> None:
    assert newer(ast.parse(text))
