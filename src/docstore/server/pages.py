"""HTML pages: lists of links, errors and documentation, rendered from the templates in `web/`.

Templates escape everything. The Content-Security-Policy of most pages allows no script; those of a collection, of the
start and of the documentation allow their own modules, by a nonce that is new for each response. `'self'` was rejected:
stored documents have the same origin, so one mistake in a template would run a stored script. Styles are allowed by
that nonce, or by their hash.
"""

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final

from docstore.http.stored_headers import STORED_HEADERS
from docstore.http.url import encode
from docstore.model import Meta
from docstore.units import format_count, format_duration, format_rfc3339, format_size

if TYPE_CHECKING:
    from jinja2 import Environment

_STYLES: Final = {
    file.name: file.read_text("utf-8")
    for file in files("docstore").joinpath("web").iterdir()
    if file.name.endswith(".css")
}
"""The style sheets by name. A page contains those that its first paint needs, so that it takes one request."""


def _source(name: str) -> str:
    """The source of a style sheet in a Content-Security-Policy."""
    digest = sha256(_STYLES[name].encode("utf-8")).digest()
    return f"'sha256-{b64encode(digest).decode('ascii')}'"


POLICY: Final = (
    f"default-src 'none'; style-src {_source('docstore.css')} {_source('docs.css')}; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
).encode("ascii")
"""The Content-Security-Policy of most pages: their own style sheets and icon only."""

_THUMBNAIL_TYPES: Final = frozenset(f"image/{name}" for name in ("png", "jpeg", "gif", "webp", "avif"))
THUMBNAIL_SIZE: Final = 256 * 1024
"""The largest image that lists load: a page has at most a hundred of them, and loads those in view."""


def new_nonce() -> str:
    return token_urlsafe(18)


def policy(nonce: str) -> bytes:
    """Return the Content-Security-Policy of a page with a script.

    Documents are shown by their own URL or, where browsers need it, as a blob; text never becomes markup.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src 'self'; media-src 'self'; frame-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ).encode("ascii")


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("docstore", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,  # Otherwise each page checks its template on disk first.
    )
    environment.filters |= {"size": format_size, "rfc3339": format_rfc3339, "age": format_age, "count": format_count}
    environment.filters["encode"] = encode
    environment.tests["thumbnail"] = has_thumbnail
    environment.globals["styles"] = _STYLES
    names = (f"{name}={header.request_name}" for name, header in STORED_HEADERS.items())
    environment.globals["stored_headers"] = " ".join(names)
    return environment


def has_thumbnail(meta: Meta) -> bool:
    """Whether lists show the document as a small image; `web/listing.js` has the same rule."""
    media_type = meta.fields.media_type.partition(";")[0]
    return media_type in _THUMBNAIL_TYPES and meta.size <= THUMBNAIL_SIZE


def format_age(seconds: int) -> str:
    """As `format_duration`, but `now` below a minute."""
    return format_duration(seconds) if seconds >= 60 else "now"


def render(template: str, root: str, **values: object) -> str:
    """Render a template of `web/`; `root` is `Request.root`."""
    return _templates().get_template(template).render(values, root=root)


def docs_page(document: Mapping[str, object], root: str, nonce: str) -> str:
    """Render the page of an OpenAPI document; its script with this nonce adds forms that send requests."""

    def follow(node: Mapping[str, object]) -> object:
        """Resolve a reference within the document; return other nodes unchanged."""
        target: Any = document
        for name in str(node["$ref"]).split("/")[1:] if "$ref" in node else ():
            target = target[name]
        return target if "$ref" in node else node

    return render("docs.html", root, document=document, follow=follow, nonce=nonce)
