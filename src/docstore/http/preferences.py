"""Prefer (RFC 7240): optional preferences of a client. Docstore applies only `return`.

There is no error in this header: unknown, malformed or meaningless preferences are ignored. The first of several with
one name counts, even when its value is unknown (§2). Parameters of a preference are ignored.
"""

from typing import Final, Literal

from docstore.http.headers import parse_parameters, split_list
from docstore.http.message import Headers

PreferredReturn = Literal["minimal", "representation"]

_RETURNS: Final[dict[str, PreferredReturn]] = {"minimal": "minimal", "representation": "representation"}


def preferred_return(headers: Headers) -> PreferredReturn | None:
    """Which content the response to a write should have (§4.2); None for the usual one."""
    for member in split_list(headers.get("prefer") or ""):
        name, _, word = (part.strip(" \t") for part in member.partition(";")[0].partition("="))
        name = name.lower()
        if name == "return":
            parameters = parse_parameters(f";{name}={word}") if word else None
            return _RETURNS.get((parameters or {}).get(name, "").lower())
    return None
