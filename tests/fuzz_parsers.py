"""Fuzz what strangers send before they are known: tokens, cookies, signed links and Forwarded (`make fuzz-parsers`).

    python -m tests.fuzz_parsers [--seconds 60] [NAME]

Atheris mutates inputs and keeps those that reach new code. Each target must raise nothing but the error that its parser
documents, and what it parses must be encoded to the same text again. An input that breaks that is printed.
"""

import argparse
import asyncio
import base64
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext, suppress
from hashlib import sha256
from pathlib import Path

try:
    import atheris
except ImportError:  # the test that runs the targets on SEEDS needs no fuzzer
    atheris = None

if atheris is not None and __name__ == "__main__" and "--child" in sys.argv:
    imports = atheris.instrument_imports(include=["docstore.links", "docstore.http", "docstore.server"])
else:
    imports = nullcontext()

with imports:
    from docstore.content import BytesContent
    from docstore.errors import SetupError
    from docstore.http.forwarded import ForwardedElement, InvalidForwarded, parse_forwarded
    from docstore.http.headers import TooManyMembers
    from docstore.http.message import Headers, Request
    from docstore.links import LINK_METHODS, Caveats, Grant, InvalidLink, SignedLink, sign_block
    from docstore.server.errors import HTTPProblem
    from docstore.server.resources.login import read_form
    from docstore.server.security.access import parse_credentials
    from docstore.server.security.ended import EndedIds
    from docstore.server.security.sessions import SESSION_S, Sessions
    from docstore.server.security.signed_links import find_link
    from docstore.server.security.signing_key import SigningKey
    from docstore.server.security.tokens import TOKEN_PATTERN, Tokens, redact

INPUT_LIMIT = 4096
ID = "4f9c2a71be" + "0068f0a1b2" + "9d8e7f6a5b4c3d2e"
SECRET = "5e" * 24
TOKEN = f"dst_{ID[:10]}_{SECRET}"
FILE = (
    b'{"version": 1, "tokens": [{"id": "4f9c2a71be", "sha256": "%s", "created_ns": 1, "rights": ["read", "list"], '
    b'"mount": "docs", "prefix": "a/", "max_document": 1, "quota": 2, "rate": "1/s", "expires_ns": 3, "note": "n"}]}'
) % (b"5e" * 32)
CAVEATS = Caveats("docs", "a/é", None, ("GET", "PUT"), 1_767_225_600, 10, ("text/csv", "image/*"), "0123456789abcdef")
LINK = sign_block(ID, CAVEATS, b"r" * 32).narrowed(Caveats("docs", prefix="a/", methods=("GET",)))


SIGNED_IN = Tokens("").parse(FILE.replace(b'"expires_ns": 3, ', b""))
KEY = SigningKey(Path(tempfile.gettempdir(), "no-folder-of-docstore"))
KEY.current = lambda: b"k" * 32  # type: ignore[method-assign]
NOW_NS = (0x0068F0A1B2 - SESSION_S) * 10**9
SESSIONS = Sessions(KEY, EndedIds(KEY.path.parent, lambda: NOW_NS), lambda: NOW_NS)
COOKIE = asyncio.run(SESSIONS.begin(Request("GET", "/", "", Headers()), SIGNED_IN[ID[:10]]))[0][1].split(b";")[0]


def cookie(data: bytes) -> None:
    """A Cookie is a session only if it has exactly the value that was signed, once."""
    request = Request("GET", "/", "", Headers([(b"cookie", data)]))
    token = SESSIONS.authenticate(request, SIGNED_IN)
    pairs = [pair.strip(b" \t") for pair in data.split(b";")]
    assert (token is not None) == bool(request.session)
    assert token is None or 1 in (pairs.count(COOKIE), pairs.count(b"__Host-" + COOKIE))


def login(data: bytes) -> None:
    """The content of a login has texts, or nothing."""
    for media_type in (b"application/json", b"application/x-www-form-urlencoded"):
        headers = Headers([(b"content-type", media_type)])
        reading = read_form(Request("POST", "/-/login", "", headers, BytesContent(data)))
        form: dict[str, str] | None = None
        try:
            reading.send(None)  # it never waits, and an event loop takes ten times as long
        except StopIteration as result:
            form = result.value
        assert form is not None
        assert all(isinstance(value, str) for value in form.values())


def credentials(data: bytes) -> None:
    """An Authorization names the token whose secret has the digest, or no token."""
    value = data.decode("latin-1")
    found = parse_credentials(Headers([(b"authorization", data)]))
    assert found is not None
    if not found.id:
        assert found.sha256 == ""
        return
    _, _, sent = value.strip(" \t").partition(" ")
    texts = [sent.strip(" ")]
    with suppress(ValueError):
        texts.append(base64.b64decode(texts[0], validate=True).decode("utf-8").partition(":")[2])
    matches = [match for text in texts if (match := TOKEN_PATTERN.fullmatch(text))]
    assert (found.id, found.sha256) in [(match[1], sha256(match[2].encode()).hexdigest()) for match in matches]


def token_file(data: bytes) -> None:
    """A file of tokens is an error, or is the same tokens when it is written again."""
    with tempfile.TemporaryDirectory() as folder:
        tokens = Tokens(folder)
        try:
            parsed = tokens.parse(data)
        except SetupError:
            return
        tokens._write(parsed.values())
        assert Tokens(folder)._read() == parsed


def link_text(data: bytes) -> None:
    """A link has one encoding, and nothing that is logged has it."""
    text = data.decode("latin-1")
    with suppress(HTTPProblem):
        found = find_link(text)
        assert found is None or found in text
    try:
        parsed = SignedLink.parse(text)
    except InvalidLink:
        return
    assert parsed.encode() == text
    assert text not in redact(f"/docs/a?link={text}")


def link_content(data: bytes) -> None:
    """What is packed into a link is packed in the same way again, and every narrowing only takes away."""
    try:
        parsed, grant = SignedLink.parse_with_grant(f"dsl_{base64.urlsafe_b64encode(data).rstrip(b'=').decode()}")
    except InvalidLink:
        return
    assert bytes.fromhex(parsed.id) + b"\n".join(parsed.blocks) + parsed.signature == data
    before = Grant(grant.mount, "", False, frozenset(LINK_METHODS), 2**40)
    for number, block in enumerate(parsed.blocks):
        caveats = Caveats.parse(block)
        assert caveats.encode() == block
        after = before.narrow(caveats, number)
        assert_within(after, before)
        before = after
    assert before == grant


def assert_within(after: Grant, before: Grant) -> None:
    assert after.methods <= before.methods
    assert not after.methods or (after.mount == before.mount and before.covers(after.prefix) >= after.is_key)
    assert not after.methods or after.prefix.startswith(before.prefix)
    assert after.is_key or not before.is_key or not after.methods
    assert after.until <= before.until
    assert before.max_document is None or (after.max_document is not None and after.max_document <= before.max_document)
    assert after.types[: len(before.types)] == before.types
    assert before.once is None or after.once == before.once


def forwarded(data: bytes) -> None:
    """What proxies say is the same when it is written as one Forwarded."""
    names = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    lines = data.split(b"\n", len(names) - 1)
    try:
        parsed = parse_forwarded(Headers(zip(names, lines, strict=False)))
    except (InvalidForwarded, TooManyMembers):
        return
    written = ", ".join(map(format_element, parsed)).encode("latin-1")
    assert parse_forwarded(Headers([(b"forwarded", written)])) == parsed


def format_element(element: ForwardedElement) -> str:
    """Write an element as RFC 7239 does."""
    address = None if element.address is None else f"[{element.address}]" if ":" in element.address else element.address
    values = {"for": address, "proto": element.scheme, "host": element.host}
    return ";".join(f'{name}="{value}"' for name, value in values.items() if value is not None) or "x=y"


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "credentials": (
        credentials,
        [f"Bearer {TOKEN}".encode(), b"Basic " + base64.b64encode(f"any:{TOKEN}".encode()), b"basic", b"Bearer x"],
    ),
    "cookie": (cookie, [COOKIE, b"a=b; __Host-" + COOKIE, b"docstore-session=; docstore-session", b";="]),
    "login": (
        login,
        [b'{"token": "%s", "next": "/"}' % TOKEN.encode(), b"token=%s&next=%%2Fdocs%%2F" % TOKEN.encode()],
    ),
    "token-file": (token_file, [FILE, b'{"version": 1, "tokens": []}', b"[]"]),
    "link-text": (
        link_text,
        [LINK.encode().encode(), f"link={LINK.encode()}".encode(), b"link=x&%6cink=y", b"dsl_A", b"a=b&link"],
    ),
    "link-content": (
        link_content,
        [
            bytes.fromhex(LINK.id) + b"\n".join(LINK.blocks) + LINK.signature,
            bytes.fromhex(ID) + CAVEATS.encode() + bytes(32),
            bytes.fromhex(ID) + b'{"mount":"docs","prefix":"","methods":["GET"],"until":1}\n{"until":2}' + bytes(32),
            bytes(50),
        ],
    ),
    "forwarded": (
        forwarded,
        [
            b'for=192.0.2.1;proto=https;host="a.example:8080", for="[2001:db8::1]:4711";by=_x, for=unknown',
            b"\n192.0.2.1, 2001:db8::1, [::ffff:192.0.2.1]:80\nhttps, http\na.example",
            b'for="_a\\"b"\n::1',
            b";, =",
        ],
    ),
}
"""Functions that take an input, and inputs to begin with."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if atheris is None:
        raise SystemExit("atheris is missing: it is installed for Python 3.11 on Linux (x86-64)")
    if given.child:
        fuzz(given.name, given.seconds)
        return
    names = [given.name] if given.name else list(TARGETS)
    for name in names:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz_parsers",
            "--child",
            f"--seconds={given.seconds // len(names)}",
            name,
        ]
        child = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        last = [line for line in child.stderr.splitlines() if line.startswith(("Done", "stat::"))]
        print(f"{name}: {last[0] if last else 'failed'}", flush=True)
        if child.returncode:
            raise SystemExit(child.stderr)


def fuzz(name: str, seconds: int) -> None:
    """Run one target. libFuzzer ends the process."""
    target, seeds = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds):
            (Path(folder) / str(number)).write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={INPUT_LIMIT}",
            f"-artifact_prefix={folder}/",
            "-verbosity=1",
        ]
        atheris.Setup([sys.argv[0], *options, folder], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
