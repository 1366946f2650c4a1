"""Modules import from their own floor or a lower one, and never in a circle.

Every import statement counts: at the top, inside a function, under TYPE_CHECKING.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

ROOT = "kokuban"
SOURCE = Path(__file__).parents[1] / "src" / ROOT

# By first name below the root. The root itself only names what lower floors hold, and
# stands with the programs that use those names.
FLOORS: tuple[set[str], ...] = (
    {"errors", "settings", "shape"},
    {"expr", "op", "entry"},
    {"ops"},
    {"gradient", "rewrite"},
    {"run", "explain", "formula"},
    {"gradcheck"},
    {"nn", "optim"},
    {"train"},
    {"estimators", "interchange", "lessons", "worksheets"},
    {ROOT, "cli", "studio", "__main__"},
)
FLOOR = {package: floor for floor, names in enumerate(FLOORS) for package in names}

Graph = dict[str, set[str]]


def module_name(path: Path, source: Path) -> str:
    parts = [ROOT, *path.relative_to(source).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, name: str, modules: set[str]) -> Iterator[str]:
    """The project's own modules that the file names in an import statement."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            full = [f"{base}.{alias.name}" for alias in node.names]
            targets = [target if target in modules else base for target in full]
        else:
            continue
        yield from (t for t in targets if t.split(".")[0] == ROOT)


def import_graph(source: Path) -> Graph:
    paths = {module_name(path, source): path for path in sorted(source.rglob("*.py"))}
    return {name: set(imports(path, name, set(paths))) for name, path in paths.items()}


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def violations(graph: Graph) -> list[str]:
    found = []
    for module, targets in graph.items():
        own = package_of(module)
        if own not in FLOOR:
            found.append(f"{module} stands on no floor")
            continue
        for target in sorted(targets):
            other = package_of(target)
            if other not in FLOOR or (other != own and FLOOR[other] > FLOOR[own]):
                found.append(f"{module} imports {target}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("cycle: " + " -> ".join(error.args[1]))
    return found


def write_tree(source: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_imports_go_downward() -> None:
    graph = import_graph(SOURCE)
    assert ROOT in graph
    assert violations(graph) == []


def test_a_sound_tree_passes(tmp_path: Path) -> None:
    files = {
        "__init__.py": "from kokuban.expr import Expr\n",
        "errors.py": "import os.path\n",
        "expr.py": "from .errors import ShapeError\nfrom . import op\n",
        "op.py": "from kokuban import errors\n",
        "ops/__init__.py": "from .linalg import matmul\n",
        "ops/linalg.py": "from ..expr import Expr\nfrom . import structure\n",
        "ops/structure.py": "def f():\n    import kokuban.op\n",
    }
    write_tree(tmp_path, files)
    graph = import_graph(tmp_path)
    assert violations(graph) == []
    assert graph["kokuban.expr"] == {"kokuban.errors", "kokuban.op"}
    assert graph["kokuban.ops.linalg"] == {"kokuban.expr", "kokuban.ops.structure"}
    assert graph["kokuban.ops.structure"] == {"kokuban.op"}


def test_each_way_of_breaking_the_floors_is_reported(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "errors.py": "import kokuban.expr as e\n",
        "shape.py": "def f():\n    from kokuban import train\n",
        "expr.py": "import kokuban\n",
        "ops/__init__.py": "",
        "ops/linalg.py": "from .. import gradient\nfrom ..run.plan import x\n",
        "gradient.py": "if TYPE_CHECKING:\n    from kokuban.rewrite import simplify\n",
        "rewrite.py": "async def f():\n    from .gradient import grad\n",
        "run/__init__.py": "",
        "run/plan.py": "",
        "train/__init__.py": "",
        "helpers.py": "",
        "op.py": "from .helpers import x\n",
    }
    write_tree(tmp_path, files)
    *imported, cycle = violations(import_graph(tmp_path))
    assert imported == [
        "kokuban.errors imports kokuban.expr",
        "kokuban.expr imports kokuban",
        "kokuban.helpers stands on no floor",
        "kokuban.op imports kokuban.helpers",
        "kokuban.ops.linalg imports kokuban.gradient",
        "kokuban.ops.linalg imports kokuban.run.plan",
        "kokuban.shape imports kokuban.train",
    ]
    assert cycle.startswith("cycle: ")
    assert {"kokuban.gradient", "kokuban.rewrite"} == set(cycle[7:].split(" -> "))
