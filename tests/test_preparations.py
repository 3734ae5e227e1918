"""A request whose response a test does not use prepares something, and must be sent by a helper that checks its status.

Otherwise a test could pass because its documents were never stored. The helpers are `prepare` of `tests/http_client.py`
and of `tests/in_process.py`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from docstore.server.resources.resource import KNOWN_METHODS

TESTS = Path(__file__).parent


def unused_requests(tree: ast.AST) -> Iterator[int]:
    """The lines of statements that are nothing but a request, such as `client.ask(...)` or `store.send("PUT", ...)`."""
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.Expr):
            continue
        call = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        methods = {argument.value for argument in call.args[:2] if isinstance(argument, ast.Constant)} & KNOWN_METHODS
        if methods and name in ("ask", "send"):
            yield statement.lineno


def test_no_request_of_a_test_is_unchecked() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        for line in unused_requests(ast.parse(path.read_text()))
    ]
    assert found == [], "write prepare(...), or assert the status"


def test_unchecked_requests_are_found() -> None:
    lines = ['ask(s, "GET", "/")', 'c.ask("PUT", "/")', 'x = c.ask("PUT", "/")', 's.send("PUT", "/")', 'raw.send(b"")']
    assert list(unused_requests(ast.parse("\n".join(lines)))) == [1, 2, 4]
