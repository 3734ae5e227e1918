"""Engines whose driver is an extra of the package, imported only when a store is opened or checked."""

from collections.abc import Iterator
from contextlib import contextmanager

from docstore.errors import OpenError


@contextmanager
def needs_extra(scheme: str, package: str, extra: str) -> Iterator[None]:
    """Raise OpenError that names the extra if an import inside does not find `package`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise OpenError(f"{scheme}: needs the package {package}; install docstore[{extra}]") from None
