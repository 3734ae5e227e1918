"""The two HTML representations of a listing: the page for browsers, in pages, and the index for programs, complete.

Programs that read folders over HTTP (rclone, wget, lftp, pip, fsspec) follow the links to entries and nothing else, so
a list in pages would be short without an error. The index has a link for each entry and no other links. Its lines are
those of nginx, from which programs read times and sizes.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from html import escape
from itertools import pairwise
from time import gmtime, strftime

from docstore.http.url import encode
from docstore.links import LINK_PARAMETER
from docstore.server import pages
from docstore.server.mounts import Mount
from docstore.server.resources.listing import ListingPage, Query, next_link, read_page
from docstore.units import format_count


def render_page(
    mount: Mount, query: Query, page: ListingPage, *, root: str, now_ns: int, nonce: str, user: str | None
) -> str:
    """Render a page: a list of links, which the script with this nonce enhances."""
    skipped = query.prefix.rfind("/") + 1 if query.delimiter else len(query.folder)
    ends = [index + 1 for index in range(skipped) if query.prefix[index] == "/"]
    place = root + mount.prefix
    download = Query(query.prefix, folder=query.folder)
    crumbs = [(place + encode(query.prefix[:end]), query.prefix[start:end]) for start, end in pairwise([0, *ends])]
    return pages.render(
        "collection.html",
        root,
        mount=mount,
        place=place,
        query=query,
        crumbs=crumbs,
        documents=[(_link(mount, query, meta.key, root), meta.key[skipped:], meta) for meta in page.documents],
        folders=[(_link(mount, query, folder, root), folder[skipped:]) for folder in page.folders],
        size=sum(meta.size for meta in page.documents),
        zip_link=f"?{replace(download, format='zip').encoded()}",
        tar_link=f"?{replace(download, format='tar').encoded()}",
        flat_link=f"?{replace(download, delimiter='').encoded()}",
        folders_link=f"?{download.encoded()}",
        first_link=f"?{replace(query, after='').encoded()}",
        next_link=next_link(mount, page, root),
        hidden=page.hidden,
        now_ns=now_ns,
        nonce=nonce,
        user=user,
    )


def _link(mount: Mount, query: Query, name: str, root: str) -> str:
    """The link to a document or folder: relative to the listing, or to the root on a mount with `keys=name`.

    A relative link has no scheme, because `:` is encoded. fsspec takes a link that begins with http for a URL.
    """
    link = f"?{LINK_PARAMETER}={query.link}" if query.link else ""
    if mount.keys != "path" or name.startswith("http", len(query.folder)):
        return root + encode(mount.prefix + name) + link
    return encode(name[len(query.folder) :]) + link


async def stream_index(
    mount: Mount, query: Query, page: ListingPage, *, root: str, now_ns: int
) -> AsyncIterator[bytes]:
    """Yield the index from its first `page` on, with one page in memory. In each, folders precede documents.

    Modification times that another clock put into the future are shown as now, as in Last-Modified.
    """
    title = escape(f"Index of {mount.prefix}{query.prefix}")
    yield f'<!doctype html>\n<meta charset="utf-8">\n<title>{title}</title>\n<h1>{title}</h1>\n<pre>\n'.encode()
    hidden = 0
    while True:
        hidden += page.hidden
        entries = [(folder, "-", "-") for folder in page.folders]
        entries += [(meta.key, _minute(min(meta.modified_ns, now_ns)), str(meta.size)) for meta in page.documents]
        lines = []
        for name, modified, size in entries:
            text = name[len(query.folder) :]
            link = f'<a href="{_link(mount, query, name, root)}"><bdi>{escape(text)}</bdi></a>'
            lines.append(f"{link}{' ' * (50 - len(text))} {modified:>17} {size:>19}\n")
        yield "".join(lines).encode()
        if page.next is None:
            break
        page = await read_page(mount, page.next)
    yield b"</pre>\n"
    if hidden:
        yield f"<p>{format_count(hidden, 'name')} not shown: keys=name</p>\n".encode()


def _minute(modified_ns: int) -> str:
    return strftime("%d-%b-%Y %H:%M", gmtime(modified_ns // 10**9))
