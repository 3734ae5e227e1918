"""Protection against web sites and stored documents: which may send requests, and what a document may do."""

import html.parser
import re
import urllib.parse
from pathlib import Path

import pytest

from docstore.server.resources.resource import KNOWN_METHODS
from docstore.server.security.browser_safety import LOOPBACK_NAMES
from tests.http_client import Client, ask, send_raw
from tests.in_process import InProcess, NeverRead, Reply, on_a_store
from tests.server_process import MOUNTS, RunningServer

UNSAFE = ("PUT", "POST", "PATCH", "DELETE")
SAFE = ("GET", "HEAD", "OPTIONS")
PLACES = ["/memory/key", "/memory/", "/memory", "/", "*", "/-/health", "/nowhere", "/memory/%", "/memory/a.b"]

OWN_HOSTS = [
    "localhost",
    "localhost:8080",
    "127.0.0.1",
    "127.0.0.1:80",
    "[::1]",
    "[::1]:9000",
    "LocalHost:1",
    "LOCALHOST",
]
FOREIGN_HOSTS = [
    *("evil.example", "evil.example:8080", "localhost.evil.example", "evil.localhost", "127.0.0.1.evil.example", ""),
    *(
        "localhost.",
        "127.0.0.2",
        "0.0.0.0",
        "[::2]",
        "::1",
        "localhost:x",
        "localhost:80:80",
        "localhost, evil.example",
    ),
    *("a@localhost", "localhost/", "[::1", "2130706433", "127.1", "localhost\xe9"),
]


@pytest.mark.parametrize("host", OWN_HOSTS)
@on_a_store("memory", hosts=LOOPBACK_NAMES)
async def test_a_store_on_loopback_accepts_the_names_of_loopback(store: InProcess, host: str) -> None:
    assert (await store.send("PUT", "/memory/key", b"x", {"host": host})).status == 201
    assert (await store.send("GET", "/memory/key", headers={"host": host})).status == 200


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@on_a_store("memory", hosts=LOOPBACK_NAMES)
async def test_a_foreign_host_is_421_for_each_method_and_path(store: InProcess, host: str) -> None:
    for method in (*sorted(KNOWN_METHODS), "BREW"):
        for path in PLACES:
            reply = await store.send(method, path, NeverRead(1), {"host": host})
            assert reply.status == 421, (method, path)
            assert len(reply.content) < 400
    assert (await store.send("GET", "/memory/?format=text", headers={"host": "localhost"})).content == b""


def test_a_server_on_loopback_rejects_foreign_hosts(server: RunningServer) -> None:
    for host, status in (("evil.example", 421), (f"localhost:{server.port}", 200), (f"[::1]:{server.port}", 200)):
        assert ask(server, "GET", "/docs/", headers={"Host": host}).status == status


def test_an_http_1_0_client_may_omit_the_host(server: RunningServer) -> None:
    assert send_raw(server, b"GET /-/health HTTP/1.0\r\n\r\n").split(b" ")[1] == b"200"


SITES = {
    # Sec-Fetch-Site, Origin: whether a store at http://localhost:8080 accepts the write
    (None, None): True,
    ("same-origin", None): True,
    ("same-origin", "http://localhost:8080"): True,
    ("none", None): True,
    ("same-site", None): False,
    ("same-site", "http://localhost:9000"): False,
    ("cross-site", None): False,
    ("cross-site", "http://localhost:8080"): False,
    ("cross-site", "null"): False,
    ("", None): False,
    ("Same-Origin", None): False,
    ("same-origin, none", None): False,
    ("nonsense", None): False,
    (None, "http://localhost:8080"): True,
    (None, "HTTP://LOCALHOST:8080"): True,
    (None, "http://localhost:9000"): False,
    (None, "http://localhost"): False,
    (None, "http://127.0.0.1:8080"): False,
    (None, "https://evil.example"): False,
    (None, "http://localhost:8080.evil.example"): False,
    (None, "null"): False,
    (None, ""): False,
    (None, "localhost:8080"): False,
    (None, "http://["): False,
    (None, "file://"): False,
}


@pytest.mark.parametrize(("site", "origin"), SITES)
@on_a_store("memory", hosts=LOOPBACK_NAMES)
async def test_a_page_of_another_site_cannot_write(store: InProcess, site: str | None, origin: str | None) -> None:
    given = {"host": "localhost:8080", "sec-fetch-site": site, "origin": origin}
    fields = {name: value for name, value in given.items() if value is not None}
    allowed = SITES[site, origin]
    for method in UNSAFE:
        for path in ("/memory/key", "/memory/", "/nowhere", "/-/health"):
            reply = await store.send(method, path, b"{}" if allowed else NeverRead(2), fields)
            assert (reply.status == 403) != allowed, (method, path)
    for method in SAFE:
        assert (await store.send(method, "/memory/", headers=fields)).status < 300


@on_a_store("memory")
async def test_an_empty_origin_does_not_match_an_empty_host(store: InProcess) -> None:
    for origin in ("null", "", "http://*"):
        assert (await store.send("PUT", "/memory/key", b"x", {"origin": origin})).status == 403


@on_a_store("memory", anonymous="read")
async def test_a_read_only_store_rejects_writes(store: InProcess) -> None:
    for method in UNSAFE:
        for path in ("/memory/key", "/memory/", "/memory/missing"):
            reply = await store.send(method, path, NeverRead(1))
            assert (reply.status, reply.content) == (403, b"forbidden: this store is read-only\n")
        # The origin is checked first: another one is wrong with credentials too.
        reply = await store.send(method, "/memory/key", NeverRead(1), {"sec-fetch-site": "cross-site"})
        assert (reply.status, b"cross-site write" in reply.content) == (403, True)
    for method in SAFE:
        assert (await store.send(method, "/memory/")).status in (200, 204)


@pytest.mark.parametrize(("anonymous", "writes"), [("read", []), ("write", ["DELETE", "PATCH", "POST", "PUT"])])
def test_options_says_what_this_client_may_do(tmp_path: Path, anonymous: str, writes: list[str]) -> None:
    @on_a_store("memory", anonymous=anonymous, cors=("https://app.example",))
    async def asked(store: InProcess) -> None:
        preflight = {"origin": "https://app.example", "access-control-request-method": "PUT"}
        reply = await store.send("OPTIONS", "/memory/key", headers=preflight)
        allowed = ", ".join(sorted(["GET", "HEAD", "OPTIONS", *writes]))
        assert reply["allow"] == allowed
        # A preflight has no credentials: the request that follows needs them.
        assert reply["access-control-allow-methods"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"

    asked(tmp_path)


def test_a_server_may_be_read_only(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--anonymous", "read") as server, Client(server) as client:
        for mount in MOUNTS:
            assert [client.ask(m, f"/{mount}/key", b"x").status for m in UNSAFE] == [403] * 4
            assert client.ask("GET", f"/{mount}/").status == 200


SAFETY = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "text/javascript", "application/octet-stream"])
@on_a_store("memory")
async def test_a_document_cannot_run_scripts_against_the_store(store: InProcess, media_type: str) -> None:
    given = {"content-type": media_type, "prefer": "return=representation", "content-security-policy": "default-src *"}
    replies = [await store.send("PUT", "/memory/key", b"<script>alert(1)</script>", given)]
    for method, fields in [
        ("GET", {}),
        ("HEAD", {}),
        ("GET", {"range": "bytes=1-2"}),
        ("GET", {"range": "bytes=0-0,2-2"}),
    ]:
        replies.append(await store.send(method, "/memory/key", headers=fields))
    for reply in replies:
        assert {name: reply[name] for name in SAFETY} == SAFETY


@on_a_store("memory")
async def test_responses_of_the_store_itself_have_safety_headers(store: InProcess) -> None:
    for path in ("/", "/memory/", "/memory/missing", "/memory", "/-/health", "/memory/?format=json", "/nowhere"):
        for accept in ("text/html", "application/json", "text/plain"):
            reply = await store.send("GET", path, headers={"accept": accept})
            assert (reply["x-content-type-options"], reply["referrer-policy"]) == ("nosniff", "no-referrer")
            if reply["content-type"].startswith("text/html"):
                policy = dict(part.split(" ", 1) for part in reply["content-security-policy"].split("; "))
                assert (policy["default-src"], policy["base-uri"], policy["form-action"]) == ("'none'",) * 3
                scripts = policy.get("script-src", "'none'")
                assert re.fullmatch(r"'nonce-[A-Za-z0-9_-]{24}'" if path in ("/", "/memory/") else "'none'", scripts)


@on_a_store("memory")
async def test_a_nonce_is_valid_for_one_response(store: InProcess) -> None:
    browser = {"accept": "text/html"}
    policies = {(await store.send("GET", "/memory/", headers=browser))["content-security-policy"] for _ in range(3)}
    assert len(policies) == 3


HOSTILE_KEYS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "&lt;b&gt;",
    "&#60;script&#62;",
    "</title><script>",
    "<!--",
    "-->",
    "<svg/onload=alert(1)>",
    "http:",
    "\u202egnp.exe",
    "<base href=x>",
    "a?b#c",
]
HOSTILE_TYPE = 'text/plain; x="<script>alert(1)</script>"'


class Page(html.parser.HTMLParser):
    """All tags with their attributes, and all text, of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


KNOWN_TAGS = {
    "html": {"lang"},
    "head": set(),
    "meta": {"charset", "name", "content"},
    "link": {"rel", "href", "nonce"},
    "script": {"type", "nonce", "src"},
    "style": {"nonce"},
    "main": {"data-mount", "data-keys", "data-stored-headers"},
    **{
        tag: set()
        for tag in ("title", "body", "header", "footer", "h1", "b", "bdi", "small", "code", "thead", "tbody", "pre")
    },
    "nav": {"id", "aria-label"},
    "div": {"id"},
    "p": {"id", "class", "role"},
    "table": {"id"},
    "tr": {"class", "data-type"},
    "img": {"src", "alt", "loading"},
    "th": {"scope", "class"},
    "td": {"colspan", "class"},
    "time": {"datetime", "class"},
    "a": {"href", "rel", "class", "download"},
    "h1": {"class"},
    "ul": {"class", "aria-label"},
    "li": set(),
    "span": set(),
}


def harmless(reply: Reply) -> Page:
    """The page, after a check that it has only tags of Docstore, and links to the same server."""
    page = Page(reply.content)
    for tag, attributes in page.tags:
        assert tag in KNOWN_TAGS, (tag, attributes)
        assert attributes.keys() <= KNOWN_TAGS[tag], (tag, attributes)
        if tag == "script":
            assert attributes["src"] == "/-/web/page.js"
        if tag == "a":
            target = urllib.parse.urlsplit(urllib.parse.urljoin("http://store/memory/", attributes["href"] or ""))
            assert (target.scheme, target.netloc) == ("http", "store"), attributes
    return page


@on_a_store(keys="path")
async def test_names_and_types_cannot_inject_markup_into_the_page(store: InProcess) -> None:
    for mount in MOUNTS:
        for key in HOSTILE_KEYS:
            path = f"/{mount}/{urllib.parse.quote(key)}"
            assert (await store.send("PUT", path, b"x", {"content-type": HOSTILE_TYPE})).status == 201
        assert set(HOSTILE_KEYS) <= set(harmless(await store.send("GET", f"/{mount}/?delimiter=")).text)
        page = harmless(await store.send("GET", f"/{mount}/?delimiter=", headers={"accept": "text/html"}))
        assert set(HOSTILE_KEYS) <= set(page.text)
        assert any(HOSTILE_TYPE in text for text in page.text)
        harmless(await store.send("GET", f"/{mount}/?delimiter=/", headers={"accept": "text/html"}))
        harmless(await store.send("GET", f"/{mount}/?limit=1", headers={"accept": "text/html"}))


@on_a_store("memory", keys="path", hosts=LOOPBACK_NAMES)
async def test_request_text_is_escaped_in_error_pages(store: InProcess) -> None:
    script = "<script>alert(1)</script>"
    tag = (await store.send("PUT", "/memory/key", b"x"))["etag"]
    requests: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", "/memory/%3Cscript%3E", {}, 404),
        ("GET", "/memory/<script>//", {}, 400),
        ("GET", "/memory/?format=<script>", {}, 400),
        ("GET", "/memory/?limit=<script>", {}, 400),
        ("GET", "/memory/", {"host": script}, 421),
        ("PUT", "/memory/key", {"origin": script}, 403),
        ("PUT", "/memory/key", {"sec-fetch-site": script}, 403),
        ("PUT", "/memory/key", {"expect": script}, 417),
        ("PUT", "/memory/key", {f"meta-{script}": "x"}, 400),
        ("PUT", "/memory/key", {"content-type": script}, 400),
        ("PUT", "/memory/key", {"if-match": script}, 412),
        ("PATCH", "/memory/key", {"content-type": script}, 415),
    ]
    for method, path, fields, status in requests:
        reply = await store.send(method, path, b"x", {"accept": "text/html"} | fields)
        assert (reply.status, reply["content-type"]) == (status, "text/html; charset=utf-8"), path
        harmless(reply)
    assert (await store.send("GET", "/memory/key"))["etag"] == tag
