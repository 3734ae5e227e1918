// The preview of a document: text and JSON as text nodes, media from the document's own URL, where the browser sandboxes
// it, other bytes in hexadecimal. Content that does not match its media type is shown as what it is. At most PREVIEW_SIZE
// bytes are read for text.

import { button, element } from "./dom.js";
import { formatSize } from "./format.js";

const PREVIEW_SIZE = 64 * 1024;
const MAX_DEPTH = 100;
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
  const box = element("div", { class: "media" }, shown);
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

async function text(collection, meta, type, setType) {
  const { bytes, complete } = await collection.readPrefix(meta, PREVIEW_SIZE);
  const parts = [];
  if (!complete) parts.push(hint(`Only the first ${formatSize(PREVIEW_SIZE)} of ${formatSize(meta.size)} are shown.`));
  const content = decode(bytes, meta.media_type, complete);
  if (content === null) return element("div", {}, ...parts, hexadecimal(bytes, meta));
  if (type === FORM && setType) parts.push(...betterType(content, complete, setType));
  if (type === "text/html") parts.push(pageFrame(collection, meta));
  const parsed = complete && /[/+]json$/.test(type) ? parse(content) : null;
  if (parsed) parts.push(element("div", { class: "json" }, tree(parsed.value, 2)));
  else parts.push(element("pre", { tabindex: 0, "aria-label": "Content" }, content || "This document is empty."));
  return element("div", {}, ...parts);
}

function betterType(content, complete, setType) {
  if (!content || REAL_FORM.test(content)) return [];
  const isJSON = complete && /^\s*[{[]/.test(content) && parse(content);
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
  return element("div", {}, hint(text), element("pre", { tabindex: 0, "aria-label": "Bytes" }, lines.join("\n")));
}

class JSONNumber {
  constructor(source) {
    this.source = source;
  }
}

// Parse JSON and keep the source text of numbers, because a double can't hold 12345678901234567890.
function parse(source) {
  let deepest = 0;
  let depth = 0;
  for (const character of source) {
    if (character === "[" || character === "{") deepest = Math.max(deepest, (depth += 1));
    else if (character === "]" || character === "}") depth -= 1;
  }
  if (deepest > MAX_DEPTH) return null;
  try {
    return { value: JSON.parse(source, (_, value, context) =>
      typeof value === "number" ? new JSONNumber(context?.source ?? String(value)) : value) };
  } catch {
    return null;
  }
}

// Return a foldable tree of the value. Its first `open` levels are unfolded; deeper members are created when unfolded.
function tree(value, open, ...name) {
  if (value instanceof JSONNumber) return element("span", {}, ...name, value.source);
  if (value === null || typeof value !== "object") {
    const shown = element("span", { class: typeof value === "string" ? "string" : null }, JSON.stringify(value));
    return element("span", {}, ...name, shown);
  }
  const [first, last, one] = Array.isArray(value) ? ["[", "]", "item"] : ["{", "}", "member"];
  const members = Object.entries(value);
  if (!members.length) return element("span", {}, ...name, first + last);
  const count = element("small", {}, `${members.length} ${one}${members.length === 1 ? "" : "s"}`);
  const node = element("details", { open: open > 0 }, element("summary", {}, ...name, `${first}\u2026${last} `, count));
  const fill = () => {
    if (!node.open || node.children.length > 1) return;
    const named = (key) => [element("b", {}, Array.isArray(value) ? key : JSON.stringify(key)), ": "];
    node.append(element("ul", {}, ...members.map(([key, member]) => element("li", {}, tree(member, open - 1, ...named(key))))));
  };
  node.addEventListener("toggle", fill);
  fill();
  return node;
}
