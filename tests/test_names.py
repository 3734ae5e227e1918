"""One public name is one thing: no two modules of Docstore define the same class, function or constant."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"


def is_command(node: ast.stmt) -> bool:
    """Whether this is the function of a command, which has the name that a person types."""
    decorators = getattr(node, "decorator_list", [])
    return any(re.search(r"\b(command|group)\b", ast.unparse(decorator)) for decorator in decorators)


def is_type_variable(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and re.match(r"\w+ = (TypeVar|ParamSpec)\(", ast.unparse(node)) is not None


def public_names(tree: ast.Module) -> Iterator[str]:
    """Yield the classes, functions and constants in capitals that a module defines at its top level."""
    for node in tree.body:
        if is_command(node) or is_type_variable(node):
            continue
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name) and target.id.isupper()]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id.isupper():
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def modules_by_name() -> dict[str, set[str]]:
    modules: dict[str, set[str]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        for name in public_names(ast.parse(path.read_text())):
            modules[name].add(path.relative_to(SOURCE).as_posix())
    return modules


def test_no_two_modules_define_the_same_public_name() -> None:
    doubles = {name: sorted(modules) for name, modules in modules_by_name().items() if len(modules) > 1}
    assert doubles == {}
