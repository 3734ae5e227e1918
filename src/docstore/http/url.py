"""Paths of request targets, decoded and encoded (RFC 3986).

Dot segments are removed before any look-up, encoded ones too, and a decoded segment is never split or decoded again:
`%252e` is the three characters `%2e`. Anything but UTF-8 is rejected, overlong forms included.
"""

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


PARAMETERS_LIMIT: Final = 100
"""Parameters of a query."""
_SEGMENTS_LIMIT: Final = 1024
"""Segments of a path, dot segments included; a key has at most 512."""
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)"
    rb"(?::[0-9]*)?"
)


class InvalidTarget(ValueError):
    """The path can't be decoded; the message says why."""


def segments(path: str) -> list[str]:
    """Return the decoded segments of an absolute path, without dot segments (RFC 3986 §5.2.4).

    The path `/` has one empty segment; a trailing slash or dot segment leaves an empty last one. Characters of `path`
    stand for the bytes received (latin-1). Raise InvalidTarget.
    """
    if not path.startswith("/"):
        raise InvalidTarget("a path must start with '/'")
    kept: list[str] = []
    parts = path.split("/", _SEGMENTS_LIMIT + 1)[1:]
    if len(parts) > _SEGMENTS_LIMIT:
        raise InvalidTarget(f"a path has at most {_SEGMENTS_LIMIT} segments")
    for index, part in enumerate(parts):
        segment = _decode(part)
        last = index == len(parts) - 1
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
            continue
        if last:
            kept.append("")
    return kept


def root_from(path: str) -> str:
    """Return the relative reference of `/` from this path, without its last slash; "" for an invalid path.

    `/docs/a` gives `..`, so that `../docs/b` is `/docs/b`, also below the path of a proxy.
    """
    try:
        depth = len(segments(path)) - 1
    except InvalidTarget:
        return ""
    return "/".join([".."] * depth) or "."


def _decode(part: str) -> str:
    if _BROKEN_ESCAPE.search(part):
        raise InvalidTarget("a '%' in a path must be followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(part.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidTarget("a path must be UTF-8") from None


def encode(path: str) -> str:
    """Percent-encode everything in `path` but unreserved characters and `/`."""
    # PERF: `quote` encodes and decodes what has nothing to encode; each write of a new document has a Location.
    return path if _UNRESERVED(path) else quote(path, safe="/~")


def normalize_origin(url: str) -> str | None:
    """Return scheme, host and port of a URL as RFC 6454 §6.2 serializes them; None for `null` and invalid URLs.

    `HTTPS://Store.Example:443/path` gives `https://store.example`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not parts.scheme or not host:
        return None
    authority = f"[{host}]" if ":" in host else host
    default = port is None or port == _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{authority}" + ("" if default else f":{port}")


def is_host(value: bytes) -> bool:
    """Whether this is `uri-host [":" port]` (RFC 9110 §7.2)."""
    return _HOST.fullmatch(value) is not None


def is_loopback(host: str) -> bool:
    """Whether the host of a URL, in lower case and without brackets, is this machine."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
