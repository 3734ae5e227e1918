"""What a client would like, without insisting (RFC 7240): Prefer, and Preference-Applied in the answer.

A preference that is unknown, malformed or has a value nobody knows is as if it were not there: there is no error in
this field. The first of several with one name counts, even when its value says nothing (§2); `return=minimal` beside
`return=representation` is no exception, though §4.2 would allow to drop both. Parameters of a preference mean
nothing in the three that are read here.
"""

from dataclasses import dataclass
from typing import Final, Literal

from docstore.http.headers import is_token, parse_natural, parse_parameters, split_list
from docstore.http.message import Headers

WAIT_LIMIT_S: Final = 1_000_000_000
"""A greater `wait` is not taken for a number; what a server is ready to wait is far less, and its own affair."""

Return = Literal["minimal", "representation"]
Handling = Literal["strict", "lenient"]

_RETURNS: Final[dict[str, Return]] = {"minimal": "minimal", "representation": "representation"}
_HANDLINGS: Final[dict[str, Handling]] = {"strict": "strict", "lenient": "lenient"}


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences of a request, or those of them that an answer has honoured. `wait_s` is in seconds."""

    return_: Return | None = None
    wait_s: int | None = None
    handling: Handling | None = None

    @classmethod
    def of(cls, headers: Headers) -> "Preferences":
        value = headers.get("prefer")
        return NO_PREFERENCES if value is None else cls.parse(value)

    @classmethod
    def parse(cls, value: str) -> "Preferences":
        words: dict[str, str] = {}
        for member in split_list(value):
            name, word = _name_and_word(member)
            words.setdefault(name, word)
        return cls(
            _RETURNS.get(words.get("return", "")),
            parse_natural(words.get("wait", ""), WAIT_LIMIT_S),
            _HANDLINGS.get(words.get("handling", "")),
        )


NO_PREFERENCES: Final = Preferences()


def applied(honoured: Preferences) -> str | None:
    """The value of Preference-Applied (§3) that names what was honoured; None when nothing was."""
    words = {"return": honoured.return_, "wait": honoured.wait_s, "handling": honoured.handling}
    return ", ".join(f"{name}={word}" for name, word in words.items() if word is not None) or None


def _name_and_word(member: str) -> tuple[str, str]:
    """The name and the value of a preference, in lower case; the value is "" when there is none that can be read.

    A value with a semicolon in its quotes is cut there and so can't be read: no known preference has one.
    """
    name, _, word = (part.strip(" \t") for part in member.partition(";")[0].partition("="))
    name = name.lower()
    parameters = parse_parameters(f";{name}={word}") if word and is_token(name) else None
    return name, (parameters or {}).get(name, "").lower()
