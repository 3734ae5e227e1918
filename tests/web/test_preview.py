"""The preview of a document, for each kind of content."""

import gzip
import io
import struct
import wave
import zlib

from playwright.sync_api import expect

from tests.web.tab import Tab


def png(width: int = 40, height: int = 30) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    lines = b"".join(b"\0" + bytes([10, 120, 100]) * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def sound() -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes(4000))
    return written.getvalue()


TEXTS = {
    "plain": ("text/plain", b"one\ntwo\n", "one\ntwo\n"),
    "untyped": ("application/octet-stream", "caf\u00e9".encode(), "caf\u00e9"),
    "latin": ("text/plain; charset=iso-8859-1", b"caf\xe9", "caf\u00e9"),
    "empty": ("text/plain", b"", "This document is empty."),
    "markup": ("text/html", b"<b>bold</b>", "<b>bold</b>"),
    "script": ("text/javascript", b"alert(1)", "alert(1)"),
    "no-json": ("application/json", b'{"a":', '{"a":'),
    "deep-json": ("application/json", b"[" * 3000 + b"]" * 3000, "[" * 3000 + "]" * 3000),
}


def test_text_is_shown_as_text(tab: Tab) -> None:
    for key, (media_type, content, text) in TEXTS.items():
        tab.store_document(f"/docs/text-{key}", content, content_type=media_type)
        detail = tab.open_document("/docs/", f"text-{key}")
        assert detail.locator("pre").text_content() == text, key
        tab.leave()


def test_json_can_be_folded_and_keeps_its_numbers(tab: Tab) -> None:
    value = b'{"n": 12345678901234567890.10, "list": [1, {"deep": {"deeper": true}}], "none": null, "__proto__": "own"}'
    tab.store_document("/docs/tree", value, content_type="application/ld+json; charset=utf-8")
    json_tree = tab.open_document("/docs/", "tree").locator(".json")
    expect(json_tree).to_contain_text('"n": 12345678901234567890.10')
    expect(json_tree).to_contain_text('"__proto__": "own"')
    folded = ["{\u2026} 4 members", '"list": [\u2026] 2 items', "1: {\u2026} 1 member"]
    assert json_tree.locator("summary").all_inner_texts() == folded
    json_tree.get_by_text("1: {").click()
    expect(json_tree).to_contain_text('"deep": {\u2026} 1 member')
    json_tree.locator("summary").first.click()
    expect(json_tree.get_by_text('"list"')).to_be_hidden()


def test_only_the_start_of_a_large_document_is_read_and_the_preview_says_so(tab: Tab) -> None:
    tab.store_document("/docs/large", "\u00e9" * 500_000, content_type="text/plain")
    detail = tab.open_document("/docs/", "large")
    expect(detail.get_by_text("Only the first 64 KiB of 976 KiB are shown.")).to_be_visible()
    assert detail.locator("pre").text_content() == "\u00e9" * 32_768
    got = [request for request in tab.requests if request.method == "GET"]
    [read] = [request for request in got if request.url.endswith("/docs/large")]
    assert read.headers["range"] == "bytes=0-65535"
    assert read.response().status == 206


def test_compressed_content_is_shown_decoded_and_cannot_be_edited_or_renamed(tab: Tab) -> None:
    bomb = gzip.compress(b"a" * 10**7)
    tab.store_document("/docs/packed", bomb, content_type="text/plain", content_encoding="gzip")
    detail = tab.open_document("/docs/", "packed")
    assert detail.locator("pre").text_content() == "a" * 65_536
    expect(detail.get_by_role("button", name="Edit")).to_have_count(0)
    tab.press("Rename")
    expect(detail.locator(".alert")).to_contain_text("Content-Encoding gzip, which browsers decode")
    assert tab.stored("/docs/packed").content == bomb


def test_images_and_sounds_are_shown_by_the_browser(tab: Tab) -> None:
    tab.store_document("/docs/picture", png(), content_type="image/png")
    image = tab.open_document("/docs/", "picture").get_by_role("img", name="Preview of picture")
    tab.wait_until("document.querySelector('dialog img').naturalWidth === 40")
    expect(image).to_be_visible()
    tab.leave()
    tab.store_document("/docs/sound", sound(), content_type="audio/wav")
    tab.open_document("/docs/", "sound")
    tab.wait_until("document.querySelector('dialog audio').duration === 0.5")
    tab.leave()
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    tab.store_document("/docs/drawing", drawing, content_type="image/svg+xml")
    tab.open_document("/docs/", "drawing")
    tab.wait_until("document.querySelector('dialog img').naturalWidth === 9")


PDF = b"""%PDF-1.1
1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj
2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj
3 0 obj <</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>> endobj
trailer <</Root 1 0 R>>
"""


def test_a_pdf_is_shown_if_the_browser_can_show_it(tab: Tab) -> None:
    tab.store_document("/docs/paper", PDF, content_type="application/pdf")
    detail = tab.open_document("/docs/", "paper")
    expect(detail.get_by_title("Preview of paper")).to_be_visible()
    assert (detail.locator("iframe").get_attribute("src") or "").startswith("blob:")
    tab.press("Close")
    tab.page.add_init_script("Object.defineProperty(Navigator.prototype, 'pdfViewerEnabled', {value: false})")
    tab.page.reload()
    expect(tab.open_document("/docs/", "paper")).to_contain_text("This browser can't show this PDF here.")


def test_content_that_does_not_match_its_media_type_is_shown_as_text(tab: Tab) -> None:
    for media_type in ("image/png", "audio/ogg", "video/mp4"):
        tab.store_document("/docs/liar", "<script>alert(1)</script>", content_type=media_type)
        detail = tab.open_document("/docs/", "liar")
        expect(detail).to_contain_text(f"This browser can't show the content as {media_type}.")
        expect(detail.locator("pre")).to_have_text("<script>alert(1)</script>")
        tab.leave()


def test_binary_content_is_shown_in_hexadecimal(tab: Tab) -> None:
    for media_type in ("text/plain", "application/json", "application/octet-stream"):
        tab.store_document("/docs/bytes", bytes(range(256)) * 4, content_type=media_type)
        detail = tab.open_document("/docs/", "bytes")
        expect(detail.get_by_text("Binary content, first 512 bytes:")).to_be_visible()
        lines = (detail.locator("pre").text_content() or "").split("\n")
        assert len(lines) == 32
        assert lines[4] == "000040  40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO"
        tab.leave()


def test_html_is_shown_as_source_and_runs_no_script_as_a_page(tab: Tab) -> None:
    tab.store_document(
        "/docs/html", "<h1>Title</h1><script>parent.document.title='run'</script>", content_type="text/html"
    )
    detail = tab.open_document("/docs/", "html")
    expect(detail.locator("iframe")).to_have_count(0)
    tab.allow("Blocked script execution")
    tab.press("Show as page")
    expect(detail.frame_locator("iframe").get_by_role("heading", name="Title")).to_be_visible()
    assert detail.locator("iframe").get_attribute("sandbox") == ""
    assert tab.page.title() == "/docs/ \u00b7 Docstore"
