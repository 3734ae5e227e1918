"""What `help` and editors see of a client's method: name, text and parameters of the operation behind it."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

M = TypeVar("M", bound=Callable[..., Any])


def shaped(method: M, operation: Callable[..., Any]) -> M:
    """`method` with the shape of `operation`, whose result it gives without the coroutine around it."""
    _, *parameters = inspect.signature(operation).parameters.values()
    client = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__ = operation.__name__
    method.__qualname__ = operation.__qualname__.replace("Operations", "Client")
    method.__doc__ = operation.__doc__
    vars(method)["__signature__"] = inspect.Signature([client, *parameters])
    return method
