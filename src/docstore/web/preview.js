// The preview of a document: text as text nodes, media from the document's own URL, where the browser sandboxes it, other
// bytes in hexadecimal. Content that does not match its media type is shown as what it is. At most PREVIEW_SIZE bytes are
// read for text, and MAX_PREVIEW_SIZE when the user asks for more.

import { button, element } from "./dom.js";
import { formatSize } from "./format.js";
import { image } from "./image.js";
import { findJSONError } from "./json_text.js";
import { jsonTree, parseJSON } from "./json_tree.js";
import { markdownNodes } from "./markdown.js";
import { coloured, languageOf } from "./syntax.js";
import { table } from "./table.js";

const PREVIEW_SIZE = 64 * 1024;
const MAX_PREVIEW_SIZE = 1024 * 1024;
const MAX_MARKDOWN_SIZE = 128 * 1024;
const MAX_ROWS = 500;
const HEX_SIZE = 512;
const MAX_PDF_SIZE = 64 * 2 ** 20;

// curl -d sends every content as a form. A real one consists of names and values without blanks.
const FORM = "application/x-www-form-urlencoded";
const REAL_FORM = /^[^\s{["<]+=[^\s]*$/;

// `setType(type)` changes the media type of the document; null if this client may not.
export async function preview(collection, meta, setType) {
  const type = meta.media_type.split(";")[0].trim().toLowerCase();
  const kind = { image: "img", audio: "audio", video: "video" }[type.split("/")[0]];
  if (kind) return media(kind, collection, meta);
  if (type === "application/pdf") return pdf(collection, meta);
  return text(collection, meta, type, setType);
}

const hint = (text, ...rest) => element("p", { class: "hint" }, text, ...rest);

function media(kind, collection, meta) {
  // The version in the URL keeps caches from returning an earlier one.
  const src = `${collection.address(meta.key)}?version=${meta.version}`;
  const shown = element(kind, { src, ...(kind === "img" ? { alt: `Preview of ${meta.key}` } : { controls: true, preload: "metadata" }) });
  const box = kind === "img" ? image(shown) : element("div", { class: "media content" }, shown);
  shown.addEventListener("error", async () => {
    const fallback = await text(collection, meta, "").catch((error) => hint(error.message));
    box.replaceWith(hint(`This browser can't show the content as ${meta.media_type}.`), fallback);
  });
  return box;
}

async function pdf(collection, meta) {
  if (!navigator.pdfViewerEnabled || meta.size > MAX_PDF_SIZE) return hint("This browser can't show this PDF here. Download it to read it.");
  const content = new Blob([await collection.content(meta)], { type: "application/pdf" });
  const src = URL.createObjectURL(content);
  const frame = element("iframe", { src, title: `Preview of ${meta.key}`, class: "paper" });
  new MutationObserver((_, observer) => {
    if (frame.isConnected) return;
    URL.revokeObjectURL(src);
    observer.disconnect();
  }).observe(document.body, { childList: true });
  return frame;
}

async function text(collection, meta, type, setType, size = PREVIEW_SIZE) {
  const { bytes, complete } = await collection.readPrefix(meta, size);
  const content = decode(bytes, meta.media_type, complete);
  if (content === null) return hexadecimal(bytes, meta);
  const box = element("div", {});
  if (!complete) box.append(tooLarge(collection, meta, type, setType, size, box));
  if (!content) box.append(source("This document is empty."));
  else box.append(...readable(collection, meta, type, setType, content, complete));
  return box;
}

function tooLarge(collection, meta, type, setType, size, box) {
  const note = hint(`Only the first ${formatSize(size)} of ${formatSize(meta.size)} are shown. `);
  if (size >= MAX_PREVIEW_SIZE) return note;
  const more = button(`Show the first ${formatSize(Math.min(meta.size, MAX_PREVIEW_SIZE))}`, async () => {
    more.disabled = true;
    const shown = await text(collection, meta, type, setType, MAX_PREVIEW_SIZE).catch((error) => error);
    if (!(shown instanceof Error)) return box.replaceWith(shown);
    more.disabled = false;
    note.firstChild.textContent = `${shown.message} `;
  });
  note.append(more);
  return note;
}

// The notes and the views of a text.
function readable(collection, meta, type, setType, content, complete) {
  const colours = () => source(coloured(content, languageOf(type, meta.key)));
  if (type === FORM && setType) return [...betterType(content, complete, setType), source(content)];
  if (type === "text/html") return [pageFrame(collection, meta), colours()];
  if (/[/+]json$/.test(type) && complete) {
    const parsed = parseJSON(content);
    if (parsed) return views(["Tree", () => jsonTree(parsed.value)], ["Source", colours]);
    const error = findJSONError(content);
    return [error && hint(`This is not valid JSON. ${error.message}`), colours()].filter(Boolean);
  }
  if (/^text\/(?:csv|tab-separated-values)$/.test(type)) {
    const { node, shown } = table(content, type, MAX_ROWS, complete);
    const [choice, first] = views(["Table", () => node], ["Source", colours]);
    choice.append(element("span", {}, shown));
    return [choice, first];
  }
  if (type === "text/markdown" && content.length <= MAX_MARKDOWN_SIZE) {
    const page = () => element("div", { class: "markdown content", tabindex: 0, role: "group", "aria-label": "Content" },
      markdownNodes(content, linksOf(collection, meta)));
    return views(["Rendered", page], ["Source", colours]);
  }
  return [colours()];
}

const source = (nodes) => element("pre", { class: "content", tabindex: 0, "aria-label": "Content" }, nodes);

// Return buttons that choose one of the views, and the first view.
function views(...all) {
  let shown = all[0][1]();
  const buttons = all.map(([name, build], index) => button(name, () => {
    const next = build();
    shown.replaceWith(next);
    shown = next;
    for (const one of buttons) one.setAttribute("aria-pressed", String(one === buttons[index]));
  }, { "aria-pressed": String(index === 0) }));
  return [element("p", { class: "views", role: "group", "aria-label": "View" }, buttons), shown];
}

// The addresses in a Markdown document: a document of the same collection opens in the page, other sites open in a new
// tab, and images are loaded from the same collection only.
function linksOf(collection, meta) {
  const base = new URL(collection.address(meta.key), location);
  const resolve = (address) => (URL.canParse(address, base) ? new URL(address, base) : null);
  const isStored = (url) => url?.origin === location.origin && url.pathname.startsWith(collection.mount) && !url.pathname.endsWith("/");
  return {
    link(address) {
      const url = resolve(address);
      if (isStored(url)) return { href: `#${url.pathname.slice(collection.mount.length)}` };
      return ["http:", "https:", "mailto:"].includes(url?.protocol) ? { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" } : null;
    },
    image(address) {
      const url = resolve(address);
      return isStored(url) ? { src: url.pathname } : null;
    },
  };
}

function betterType(content, complete, setType) {
  if (!content || REAL_FORM.test(content)) return [];
  const isJSON = complete && /^\s*[{[]/.test(content) && parseJSON(content);
  const [kind, better] = isJSON ? ["JSON", "application/json"] : ["text", "text/plain; charset=utf-8"];
  return [hint(`This looks like ${kind}, but its type is that of a form, which curl -d sends. `, button(`Change the type to ${better}`, () => setType(better)))];
}

function pageFrame(collection, meta) {
  const show = button("Show as page", () =>
    show.parentElement.replaceWith(element("iframe", { src: `${collection.address(meta.key)}?version=${meta.version}`,
      sandbox: "", referrerpolicy: "no-referrer", title: `Preview of ${meta.key}`, class: "paper" })));
  return hint("", show, " Scripts don't run; images may be loaded from other sites.");
}

// Return the text, or null for binary content. A truncated last character is dropped.
function decode(bytes, type, complete) {
  const charset = /;\s*charset="?([^";\s]+)/i.exec(type)?.[1] ?? "utf-8";
  try {
    const decoded = new TextDecoder(charset, { fatal: true }).decode(bytes, { stream: !complete });
    return /[\x00-\x08\x0e-\x1a]/.test(decoded) ? null : decoded;
  } catch {
    return null;
  }
}

function hexadecimal(bytes, meta) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, HEX_SIZE); at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((byte) => (byte > 0x1f && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${letters}`);
  }
  const text = meta.size > HEX_SIZE ? `Binary content, first ${HEX_SIZE} bytes:` : "Binary content:";
  return element("div", {}, hint(text), element("pre", { class: "content bytes", tabindex: 0, "aria-label": "Bytes" }, lines.join("\n")));
}
