"""The layers: imports go down only, an engine never sees HTTP, http never sees an engine, a clock or I/O.

Only cli/ knows a terminal, and a module's imports are at its top unless LAZY has the reason.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
LAYERS = [
    {"errors", "frozen", "model", "content", "keys", "links", "media_types", "units"},
    {"http"},
    {"engines"},
    {"export"},
    {"config", "config_file", "limits"},
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

TERMINAL = {"click", "rich"}
"""Libraries of the command line, for cli/ alone."""

LAZY = {
    "docstore.content": "a command over HTTP needs no asyncio, which takes long to load",
    "docstore.http.stored_headers": "a command that only reads needs the names of the headers",
    "docstore.engines.object_store": "obstore is an extra, and the registration of its engines works without it",
    "docstore.client": "a client of a server loads no engine, and one of an engine no HTTP library",
    "docstore.errors": "difflib is loaded for the message of an error only",
    "docstore.cli": "a command starts faster without the libraries of the others",
    "docstore.engines.postgresql.__init__": "asyncpg is an extra, and the registration is read without it",
    "docstore.server.pages": "most servers show no page, and start without the library of the templates",
    "docstore.testing.pytest_plugin": "pytest loads the plugin in every run where Docstore is installed",
    "docstore.testing.server": "the command is loaded in the child process only",
}
"""Modules that may import inside functions, and why; the name of a package stands for all of it."""


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


def lazy_imports(path: Path) -> list[str]:
    """The import statements inside functions."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, FUNCTIONS)]
    nodes = [node for function in functions for node in ast.walk(function)]
    return [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


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


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value) if isinstance(value, str) else "")
def test_only_the_command_line_knows_terminals(module: str, path: Path) -> None:
    if not module.startswith("docstore.cli."):
        assert not {imported.split(".")[0] for imported in imports(path)} & TERMINAL


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value) if isinstance(value, str) else "")
def test_imports_are_at_the_top_unless_a_reason_is_listed(module: str, path: Path) -> None:
    lazy = lazy_imports(path)
    if lazy:
        assert any(f"{module}.".startswith(f"{name}.") for name in LAZY), f"{module} imports {lazy} in functions"


@pytest.mark.parametrize("name", LAZY)
def test_every_listed_module_imports_lazily(name: str) -> None:
    assert any(lazy_imports(path) for module, path in modules() if f"{module}.".startswith(f"{name}."))
