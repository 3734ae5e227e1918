"""How documents are printed: table rows for people, JSON for programs.

Columns have fixed widths and the key comes last, so each line is written as soon as its document is known and a listing
of millions needs the memory of one page. A table that fits its columns to their contents would have to see all first.
"""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Final

from docstore.units import format_duration, format_size

if TYPE_CHECKING:
    from docstore import Info

_TYPE_WIDTH: Final = 24
HEADER_ROW: Final = f"{'SIZE':>10}  {'TYPE':<{_TYPE_WIDTH}}  {'AGE':>6}  {'EXPIRES':>7}  KEY"
LONG_HEADER_ROW: Final = (
    f"{'SIZE':>14}  {'MODIFIED':<20}  {'EXPIRES':<20}  {'VERSION':<32}  {'TYPE':<{_TYPE_WIDTH}}  KEY"
)


def escape_controls(text: str) -> str:
    """Escape the characters that would control a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def table_row(info: "Info", now: datetime) -> str:
    """Return a line below HEADER_ROW."""
    age = "" if info.modified is None else format_duration((now - info.modified).total_seconds())
    left = "" if info.expires is None else format_duration((info.expires - now).total_seconds())
    return f"{format_size(info.size):>10}  {_type_column(info)}  {age:>6}  {left:>7}  {escape_controls(info.key)}"


def long_table_row(info: "Info") -> str:
    """Return a line below LONG_HEADER_ROW, with exact values."""
    modified, expires = timestamp(info.modified) or "-", timestamp(info.expires) or "-"
    columns = (f"{info.size:>14,}", f"{modified:<20}", f"{expires:<20}", f"{info.version:<32}", _type_column(info))
    return "  ".join((*columns, escape_controls(info.key)))


def folder_row(folder: str, *, long: bool) -> str:
    """Return a line for a folder."""
    width = len((LONG_HEADER_ROW if long else HEADER_ROW).removesuffix("KEY"))
    return f"{'folder':>{14 if long else 10}}".ljust(width) + escape_controls(folder)


def _type_column(info: "Info") -> str:
    text = escape_controls(info.type)
    return f"{text if len(text) <= _TYPE_WIDTH else text[: _TYPE_WIDTH - 1] + '…':<{_TYPE_WIDTH}}"


def timestamp(time: datetime | None) -> str | None:
    """RFC 3339, in whole seconds."""
    return None if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"


def info_json(info: "Info") -> dict[str, object]:
    """Return all of an Info, with the names of a listing in JSON."""
    members: dict[str, object] = {
        "key": info.key,
        "version": info.version,
        "size": info.size,
        "sha256": None if info.digest is None else info.digest.hex(),
        "media_type": info.type,
        "modified": timestamp(info.modified),
        "expires": timestamp(info.expires),
        "fields": {**info.fields, **{f"meta-{name}": value for name, value in info.meta.items()}},
    }
    return {name: value for name, value in members.items() if value not in (None, {})}


def json_line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
