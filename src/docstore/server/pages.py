"""The HTML that Docstore makes itself: lists of links, as in the original, and refusals.

Names and contents come from anybody, so templates escape everything, and the policy allows nothing to run.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from docstore.model import Meta

POLICY: Final = b"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of every page: its own style sheet and nothing else."""


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("docstore", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,  # Else each page asks the disk first whether its template is still the same.
    )


def mounts(rows: Sequence[tuple[str, str]]) -> str:
    """The page of the root: pairs of (prefix, scheme)."""
    return _templates().get_template("mounts.html").render(mounts=rows)


def collection(
    prefix: str, rows: Sequence[tuple[str, Meta]], folders: Sequence[tuple[str, str]], next_link: str
) -> str:
    """The page of a collection: pairs of (href, meta), pairs of (href, folder), and where it goes on or ""."""
    return _templates().get_template("collection.html").render(
        prefix=prefix, rows=rows, folders=folders, next_link=next_link
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
