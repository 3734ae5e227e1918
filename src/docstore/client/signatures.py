"""What `help` and editors see of a client's method: name, text and parameters of the operation behind it."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, get_args

M = TypeVar("M", bound=Callable[..., Any])


def shaped(method: M, operation: Callable[..., Any]) -> M:
    """`method` with the shape of `operation`, whose result it gives without the coroutine around it."""
    _, *parameters = inspect.signature(operation).parameters.values()
    client = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__ = operation.__name__
    method.__qualname__ = operation.__qualname__.replace("Operations", "Client")
    method.__doc__ = operation.__doc__
    spelt = [each for parameter in parameters for each in _spelt(parameter)]
    vars(method)["__signature__"] = inspect.Signature([client, *spelt])
    return method


def _spelt(parameter: inspect.Parameter) -> Iterator[inspect.Parameter]:
    """A parameter; for keywords that a TypedDict lists, each of them."""
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
        yield parameter
        return
    for name, annotation in get_args(parameter.annotation)[0].__annotations__.items():
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=annotation)
