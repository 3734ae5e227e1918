"""The layers: imports go down only, an engine never sees HTTP, http never sees an engine, a clock or I/O."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
LAYERS = [
    {"errors", "model", "content", "keys", "units"},
    {"http"},
    {"engines"},
    {"export"},
    {"config", "limits"},
    {"server"},
    {"client"},
    {"cli"},
    {"testing"},
    {"__main__"},
]
"""From the bottom up; a layer may import from those below it and from itself."""

IMPURE = {
    "asyncio",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
}
FORBIDDEN = {"engines": {"http"}, "http": {"engines"}}


def modules() -> list[tuple[str, Path]]:
    return [(".".join(path.relative_to(SOURCE).with_suffix("").parts), path) for path in sorted(SOURCE.rglob("*.py"))]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def layer_of(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] != "docstore" or len(parts) == 1:
        return None
    return next((height for height, names in enumerate(LAYERS) if parts[1] in names), None)


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value) if isinstance(value, str) else "")
def test_imports_go_down_only(module: str, path: Path) -> None:
    own = layer_of(module)
    if own is None:
        assert module == "docstore.__init__", f"{module} belongs to no layer"
        return
    folder = module.split(".")[1]
    for imported in imports(path):
        other = layer_of(imported)
        if other is None:
            if folder == "http":
                assert imported.split(".")[0] not in IMPURE, f"{module} imports {imported}"
            continue
        assert other <= own, f"{module} imports {imported}, which is above it"
        assert imported.split(".")[1] not in FORBIDDEN.get(folder, set()), f"{module} imports {imported}"
