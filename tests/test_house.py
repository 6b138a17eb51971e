"""The house rules that a reader relies on: who may import whom, and that importing does nothing."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "outofsight"
LEVELS = [
    {"errors", "types"},
    {"files"},
    {"geometry", "model_folders", "plugins"},
    {"nn", "flow"},
    {"worlds", "data"},
    {"memory", "codec", "perception", "camera_estimation", "exchange"},
    {"backbone"},
    {"whole_models"},
    {"world_model"},
    {"sampling", "training"},
    {"evaluation"},
    {"demo", "bundling"},
    {"web"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))
WITHOUT_TORCH = (
    "errors",
    "types",
    "files",
    "geometry",
    "model_folders",
    "plugins",
    "worlds",
    "data",
    "camera_estimation",
    "exchange",
    "cli",
)
"""Rooms that a newcomer's laptop enters in a moment. ``data`` and ``cli`` import torch where they first need it."""

WORK = {
    "open",
    "read_text",
    "write_text",
    "load",
    "from_pretrained",
    "run",
    "Popen",
    "seed",
    "manual_seed",
    "print",
}
"""Calls that a constant must not be made with: reading, writing, running, and the state of random generators."""


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.If)
NAMES = {module_name(path) for path in MODULES}


def imported(path: Path, *, typing_too: bool = True) -> Iterator[tuple[int, str]]:
    """Yield every module of the package that a file imports, inside functions too."""
    tree = ast.parse(path.read_text())
    if not typing_too:
        tree.body = [
            node
            for node in tree.body
            if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.level == 0
            and (node.module or "").startswith("outofsight")
        ):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name if name in NAMES else node.module or "") for name in whole)
        elif isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail(f"{path}:{node.lineno}: relative import; write the whole name")
        elif isinstance(node, ast.Import):
            yield from (
                (node.lineno, alias.name) for alias in node.names if alias.name.startswith("outofsight")
            )


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def test_imports_go_upwards():
    for path in MODULES:
        room = room_of(module_name(path))
        if room in (None, "__main__"):
            continue  # the package's own front door
        assert room in LEVEL, f"{room} is not a room of docs and architecture"
        for line, module in imported(path):
            other = room_of(module)
            if other is None or other == room:
                continue
            assert LEVEL[other] < LEVEL[room] or {room, other} == {"errors", "types"}, (
                f"{path}:{line}: {room} may not import {other}"
            )


def test_no_circles():
    graph = {
        module_name(path): {module for _, module in imported(path, typing_too=False)} for path in MODULES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " → ".join((*trail, module))
        if module in done or module not in graph:
            return
        for other in graph[module]:
            visit(other, (*trail, module))
        done.add(module)

    for module in graph:
        if module != "outofsight":
            visit(module, ())


def test_importing_does_no_work():
    """At the top level: imports, definitions and constants; no loops, no bare calls, no files."""
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, DEFINITIONS):
                if isinstance(node, ast.If):
                    condition = ast.unparse(node.test)
                    assert condition in ("TYPE_CHECKING", "__name__ == '__main__'"), (
                        f"{path}:{node.lineno}: {condition}"
                    )
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            assert isinstance(node, ast.Assign | ast.AnnAssign), f"{path}:{node.lineno}: work at import time"
            calls = {
                ast.unparse(part.func).split(".")[-1] for part in ast.walk(node) if isinstance(part, ast.Call)
            }
            assert not calls & WORK, f"{path}:{node.lineno}: calls {calls & WORK} at import time"


def test_no_drawer_for_everything():
    for path in MODULES:
        assert not {"utils", "common", "helpers", "misc"} & set(
            path.relative_to(PACKAGE).with_suffix("").parts
        ), path


def test_light_rooms_do_without_torch():
    modules = [module_name(path) for path in MODULES if room_of(module_name(path)) in WITHOUT_TORCH]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]


SEVERAL = {
    "VIEW_SAMPLES": "one of the archivist, one of retrieval: each its own compromise",
    "UNLIKELY": "the logit with which the scene reader, and the mask reader, begin",
}
"""Public names that more than one module defines, one of them in a room of the model; and why that is meant."""


VERBS = {"evaluate", "train"}
"""Verbs of the command line that are called as what they run."""


def defined(*, constants: bool) -> dict[str, list[str]]:
    """The modules that define each public class and function, and constants too."""
    where: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names = [node.name]
            elif not constants:
                continue
            for name in names:
                if not name.startswith("_"):
                    where.setdefault(name, []).append(module_name(path))
    return where


def test_a_public_class_or_function_is_defined_once():
    """In the whole package, but for what ``worlds`` calls a thing in each of its own modules."""
    several = {
        name: modules
        for name, modules in defined(constants=False).items()
        if sum(room_of(module) != "worlds" for module in modules) > 1
    }
    assert several.keys() == VERBS, several


def test_a_public_name_of_the_models_rooms_is_defined_once():
    """``flow``, ``nn``, ``memory`` and ``backbone``, against the whole package, constants too."""
    where = defined(constants=True)
    rooms = {"flow", "nn", "memory", "backbone"}
    several = {
        name: modules
        for name, modules in where.items()
        if len(modules) > 1 and any(room_of(module) in rooms for module in modules)
    }
    assert several.keys() == SEVERAL.keys(), {
        name: several.get(name, "is defined once; drop it from the list")
        for name in several.keys() ^ SEVERAL.keys()
    }


def test_test_files_have_names_of_their_own():
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []  # pytest imports them by it


def test_files_are_written_whole_in_one_way():
    """Only ``files`` gives what was written its name, or removes what a kill left behind."""
    renames = re.compile(r"os\.(replace|rename)\b|\.rename\(|\.replace\([^,()]+\)|shutil\.move")
    others = [str(path) for path in MODULES if path.name != "files.py" and renames.search(path.read_text())]
    assert others == []


def test_text_is_read_in_one_way():
    """``files.read_text`` knows byte-order marks; JSON is read from bytes, where it finds them by itself."""
    own = {"report.py"}  # reads its page from the package
    others = [path.name for path in MODULES if ".read_text(" in path.read_text() and path.name not in own]
    assert others == []
