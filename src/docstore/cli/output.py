"""What is told of documents: lines of a table for a person, JSON for a program, keys for a pipe.

Columns have their widths from the start and the key comes last, so that a line is written as soon as its document is
known: a listing of millions takes the memory of one page. A table that fits its columns to what is in them was
rejected, for it must have seen everything.
"""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Final

from docstore.cli.progress import size_text
from docstore.cli.times import span_text

if TYPE_CHECKING:
    from docstore import Info

_TYPE_WIDTH: Final = 24
HEAD: Final = f"{'SIZE':>10}  {'TYPE':<{_TYPE_WIDTH}}  {'AGE':>5}  {'EXPIRES':>7}  KEY"
LONG_HEAD: Final = f"{'SIZE':>14}  {'MODIFIED':<20}  {'EXPIRES':<20}  {'VERSION':<32}  {'TYPE':<{_TYPE_WIDTH}}  KEY"


def printable(text: str) -> str:
    """`text` with what would move a terminal's cursor written as an escape."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def row(info: "Info", now: datetime) -> str:
    """A line below HEAD."""
    age = "" if info.modified is None else span_text((now - info.modified).total_seconds())
    left = "" if info.expires is None else span_text((info.expires - now).total_seconds())
    return f"{size_text(info.size):>10}  {_type(info)}  {age:>5}  {left:>7}  {printable(info.key)}"


def long_row(info: "Info") -> str:
    """A line below LONG_HEAD: nothing rounded."""
    modified, expires = moment(info.modified) or "-", moment(info.expires) or "-"
    return f"{info.size:>14,}  {modified:<20}  {expires:<20}  {info.version:<32}  {_type(info)}  {printable(info.key)}"


def _type(info: "Info") -> str:
    shown = printable(info.type)
    return f"{shown if len(shown) <= _TYPE_WIDTH else shown[: _TYPE_WIDTH - 1] + '…':<{_TYPE_WIDTH}}"


def moment(when: datetime | None) -> str | None:
    """RFC 3339, to the second."""
    return None if when is None else f"{when:%Y-%m-%dT%H:%M:%SZ}"


def described(info: "Info") -> dict[str, object]:
    """All of an Info, in the words of the store's own listings."""
    told: dict[str, object] = {
        "key": info.key,
        "version": info.version,
        "size": info.size,
        "sha256": None if info.digest is None else info.digest.hex(),
        "media_type": info.type,
        "modified": moment(info.modified),
        "expires": moment(info.expires),
        "fields": {**info.fields, **{f"meta-{name}": value for name, value in info.meta.items()}},
    }
    return {name: value for name, value in told.items() if value not in (None, {})}


def json_line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
