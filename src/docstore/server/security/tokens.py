"""Tokens: credentials for a store, in the file `tokens.json` of its data folder.

A token is shown once, as `dst_ID_SECRET`; the file has the SHA-256 of the secret. A slow hash was rejected: a secret
has 192 random bits, so that guessing is hopeless, and a slow hash would cost each request milliseconds. The file is
replaced as a whole, so a server reads the tokens before a change or after it. A file that is not exactly as this module
writes it is an error, never a store without tokens.
"""

import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from docstore.errors import InvalidKey, SetupError, did_you_mean
from docstore.keys import PATH_LIMIT, SEGMENT_LIMIT, check_mount, check_path
from docstore.links import LINK_FORM, LINK_PREFIX
from docstore.server.security.rights import ALL_RIGHTS, RIGHTS
from docstore.server.security.state_files import locked, read_state, replace_state
from docstore.units import parse_duration_s, parse_rate, parse_size

NOTE_LIMIT: Final = 200
"""Characters of a note."""
_PREFIX: Final = "dst_"
_ID_SIZE: Final = 5
_SECRET_SIZE: Final = 24
"""Random bytes; both are written in hexadecimal digits."""
TOKEN_PATTERN: Final = re.compile(f"{_PREFIX}([0-9a-f]{{{2 * _ID_SIZE}}})_([0-9a-f]{{{2 * _SECRET_SIZE}}})")
"""Matches the text of a token: the id and the secret."""


@dataclass(frozen=True, slots=True)
class Token:
    """What the file knows about a token; the secret is not in it."""

    id: str
    sha256: str
    """Of the secret, in hexadecimal digits."""
    rights: frozenset[str]
    created_ns: int
    mount: str | None = None
    """None for all mounts."""
    prefix: str = ""
    """The rights are for keys of the mount that begin with this."""
    max_document: int | None = None
    """Bytes of the largest document that it may store; None for the limit of the mount."""
    quota: int | None = None
    """Bytes that all documents below its mount and prefix may take when it stores one; None for no limit."""
    rate: str | None = None
    """How many requests it may send, such as `50/s`, to each process of a server; None for no limit."""
    expires_ns: int | None = None
    note: str = ""

    @property
    def is_administrator(self) -> bool:
        return self.mount is None and self.rights == ALL_RIGHTS

    def is_expired(self, now_ns: int) -> bool:
        return self.expires_ns is not None and self.expires_ns <= now_ns


class NewToken(NamedTuple):
    """A token that was just made, and the text that its owner sends, which is shown this once."""

    text: str
    token: Token


NO_DIGEST: Final = "0" * 64
"""In place of the digest of an unknown token, and as long: a comparison with a shorter text is faster."""


class Tokens:
    """The tokens of the store in a data folder. Changes reach its running servers within a second.

        Tokens("docstore-data").create(rights=["read", "list"], mount="docs", expires="90d").text

    Methods raise SetupError.
    """

    def __init__(self, data: str | Path) -> None:
        self.path: Final = Path(data) / "tokens.json"

    def list(self) -> list[Token]:
        """Return all tokens, expired ones too, in the order of their creation."""
        return list(self._read().values())

    def create(
        self,
        *,
        rights: Iterable[str],
        mount: str | None = None,
        prefix: str = "",
        max_document: int | str | None = None,
        quota: int | str | None = None,
        rate: str | None = None,
        expires: float | timedelta | str | None = None,
        note: str = "",
    ) -> NewToken:
        """Add a token. `rights` are names of RIGHTS, or `all`; `expires` is the time from now, such as `90d`."""
        secret = secrets.token_hex(_SECRET_SIZE)
        now_ns = time.time_ns()
        with self._change() as tokens:
            id = secrets.token_hex(_ID_SIZE)
            while id in tokens:
                id = secrets.token_hex(_ID_SIZE)
            token = Token(
                id=id,
                sha256=sha256(secret.encode("ascii")).hexdigest(),
                rights=parse_rights(rights),
                created_ns=now_ns,
                mount=None if mount is None else mount.strip("/"),
                prefix=prefix,
                max_document=parse_size(max_document) if isinstance(max_document, str) else max_document,
                quota=parse_size(quota) if isinstance(quota, str) else quota,
                rate=rate,
                expires_ns=None if expires is None else now_ns + int(_seconds(expires) * 10**9),
                note=note,
            )
            _check(token)
            tokens[id] = token
        return NewToken(f"{_PREFIX}{token.id}_{secret}", token)

    def revoke(self, id: str) -> Token:
        """Remove a token; requests with it are rejected within a second."""
        with self._change() as tokens:
            if id not in tokens:
                known = "; 'docstore token list' shows their ids" if tokens else ": the store has no tokens"
                raise SetupError(f"there is no token {id[:100]!r}{known}")
            return tokens.pop(id)

    @contextmanager
    def _change(self) -> Iterator[dict[str, Token]]:
        """Yield the tokens by id for changing, while no other process changes them; then write them."""
        with locked(self.path):
            tokens = self._read()
            yield tokens
            self._write(tokens.values())

    def _read(self) -> dict[str, Token]:
        read = read_state(self.path)
        return {} if read is None else self.parse(read[0])

    def _write(self, tokens: Iterable[Token]) -> None:
        document = {"version": 1, "tokens": [_to_json(token) for token in tokens]}
        replace_state(self.path, json.dumps(document, indent=1).encode("ascii") + b"\n")

    def parse(self, data: bytes) -> dict[str, Token]:
        """Return the tokens in the file by id."""
        try:
            return _parse_file(data)
        except (ValueError, TypeError, KeyError, RecursionError, SetupError) as error:
            raise SetupError(
                f"{self.path} is damaged, so nobody is let in: restore it, or remove it and make new tokens "
                f"({type(error).__name__})"
            ) from None


def redact(text: str) -> str:
    """Remove the secrets of tokens, and links, from a text that is to be logged, such as a URL that contains one."""
    decoded = unquote(text) if "%" in text else text
    if _PREFIX not in decoded and LINK_PREFIX not in decoded:
        return text
    redacted = LINK_FORM.sub(f"{LINK_PREFIX}...", TOKEN_PATTERN.sub(rf"{_PREFIX}\1_...", decoded))
    return text if redacted == decoded else redacted


def parse_rights(names: Iterable[str]) -> frozenset[str]:
    """Return the rights with these names; `all` stands for all of them. Raise SetupError."""
    chosen: set[str] = set()
    for name in names:
        if name != "all" and name not in ALL_RIGHTS:
            raise SetupError(f"unknown right {name[:100]!r}{did_you_mean(name, RIGHTS)}: {', '.join(RIGHTS)}, or all")
        chosen |= ALL_RIGHTS if name == "all" else {name}
    if not chosen:
        raise SetupError(f"a token needs rights: {', '.join(RIGHTS)}, or all")
    return frozenset(chosen)


def _seconds(duration: float | timedelta | str) -> float:
    if isinstance(duration, str):
        return parse_duration_s(duration)
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def _check(token: Token) -> None:
    """Raise SetupError unless the token is one that `create` may make."""
    if token.mount is not None:
        check_mount(token.mount, "path", index=False)
    if token.prefix:
        if token.mount is None:
            raise SetupError("a prefix needs a mount: the same prefix in all mounts is hardly meant")
        check_prefix(token.prefix)
    if min(token.max_document or 0, token.quota or 0) < 0:
        raise SetupError("max_document and quota must not be negative")
    if token.rate is not None:
        parse_rate(token.rate)
    if token.expires_ns is not None and token.expires_ns <= token.created_ns:
        raise SetupError("a token must not expire when it is made")
    if len(token.note) > NOTE_LIMIT or not token.note.isprintable():
        raise SetupError(f"a note is one line of at most {NOTE_LIMIT} characters")


def check_prefix(prefix: str) -> None:
    """Raise SetupError unless some key begins with `prefix`."""
    segments = prefix.split("/")
    try:
        # A last segment that is empty or a dot is the beginning of a longer one.
        check_path(
            "/".join((*segments[:-1], f"{segments[-1]}x" if len(segments[-1]) < SEGMENT_LIMIT else segments[-1]))
        )
    except InvalidKey as error:
        raise SetupError(f"no key begins with {prefix[:PATH_LIMIT]!r}: {error}") from None


_REQUIRED: Final[dict[str, type]] = {"id": str, "sha256": str, "created_ns": int, "rights": list}
_OPTIONAL: Final[dict[str, type]] = {
    "mount": str,
    "prefix": str,
    "max_document": int,
    "quota": int,
    "rate": str,
    "expires_ns": int,
    "note": str,
}
"""The members of a token in the file and their types; optional ones are there only if they are not the default."""


def _to_json(token: Token) -> dict[str, object]:
    members: dict[str, object] = {"id": token.id, "sha256": token.sha256, "created_ns": token.created_ns}
    members["rights"] = [right for right in RIGHTS if right in token.rights]
    defaults = {field.name: field.default for field in fields(Token)}
    return members | {name: getattr(token, name) for name in _OPTIONAL if getattr(token, name) != defaults[name]}


def _parse_file(data: bytes) -> dict[str, Token]:
    """Raise ValueError, TypeError, KeyError or SetupError for anything but what `_write` writes."""
    document = json.loads(data)
    if type(document) is not dict or document.keys() != {"version", "tokens"} or document["version"] != 1:
        raise ValueError("no file of tokens")
    tokens = [_parse_token(values) for values in document["tokens"]]
    by_id = {token.id: token for token in tokens}
    if len(by_id) != len(tokens):
        raise ValueError("two tokens have one id")
    return by_id


def _parse_token(values: Any) -> Token:
    if type(values) is not dict:
        raise TypeError("a token is an object")
    types = _REQUIRED | {name: kind for name, kind in _OPTIONAL.items() if name in values}
    if values.keys() != types.keys() or any(type(values[name]) is not kind for name, kind in types.items()):
        raise ValueError("a member is missing, unknown or of another type")
    token = Token(**{**values, "rights": parse_rights(values["rights"])})
    if len(bytes.fromhex(token.id)) != _ID_SIZE or len(bytes.fromhex(token.sha256)) != sha256().digest_size:
        raise ValueError("invalid id or digest")
    _check(token)
    return token
