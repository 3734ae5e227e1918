"""The HTML that Docstore makes itself: lists of links, as in the original, and refusals.

Names and contents come from anybody, so templates escape everything. The policy of most pages allows nothing to run.
That of a collection allows its own modules, by a nonce that is new for each answer: `'self'` was rejected, for what
anybody stores is of the same origin, and would be let in as a script by one mistake in a template.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from secrets import token_urlsafe
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from docstore.model import Meta
from docstore.units import format_duration, format_rfc3339, format_size

POLICY: Final = (
    b"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of most pages: their own style sheet and icon, and nothing else."""


@dataclass(frozen=True, slots=True)
class MountRow:
    """What the page of the root tells of a mount."""

    prefix: str
    engine: str
    keys: str
    usage: str
    """Of a mount with a bound; "" for another."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a collection a page of it is. `crumbs` are pairs of (href, folder), each folder in the one before."""

    mount: str
    keys: str
    prefix: str
    after: str
    delimiter: str
    crumbs: Sequence[tuple[str, str]]


def new_nonce() -> str:
    return token_urlsafe(18)


def policy(nonce: str) -> bytes:
    """The Content-Security-Policy of a collection's page.

    Documents are shown by their own address or, where a browser wants that, as a blob; text becomes markup nowhere.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src 'self'; media-src 'self'; frame-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ).encode("ascii")


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("docstore", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,  # Else each page asks the disk first whether its template is still the same.
    )
    environment.filters |= {"size": format_size, "rfc3339": format_rfc3339, "span": format_age}
    return environment


def format_age(seconds: int) -> str:
    """As `format_duration`, but `now` below a minute."""
    return format_duration(seconds) if seconds >= 60 else "now"


def mounts(rows: Sequence[MountRow]) -> str:
    """The page of the root."""
    return _templates().get_template("mounts.html").render(mounts=rows)


def collection(
    place: Place,
    documents: Sequence[tuple[str, str, Meta]],
    folders: Sequence[tuple[str, str]],
    next_link: str,
    *,
    now_ns: int,
    nonce: str,
) -> str:
    """The page of a collection: (href, name, meta), (href, name), and where it goes on or ""."""
    return _templates().get_template("collection.html").render(
        place=place,
        documents=documents,
        folders=folders,
        next_link=next_link,
        now_ns=now_ns,
        nonce=nonce,
    )  # fmt: skip


def problem(status: int, title: str, detail: str, advice: str) -> str:
    """The page of a refusal."""
    return _templates().get_template("problem.html").render(status=status, title=title, detail=detail, advice=advice)


def docs(document: Mapping[str, object]) -> str:
    """The page of an OpenAPI document, which is read in the template as it is."""

    def follow(node: Mapping[str, object]) -> object:
        """What a reference within the document points to; the node itself when it is none."""
        target: Any = document
        for name in str(node["$ref"]).split("/")[1:] if "$ref" in node else ():
            target = target[name]
        return target if "$ref" in node else node

    return _templates().get_template("docs.html").render(document=document, follow=follow)


def problems(rows: Sequence[tuple[str, int, str, str]]) -> str:
    """The page of all kinds of refusals: name, status, title, advice."""
    return _templates().get_template("problems.html").render(rows=rows)
