// What a document looks like: text and JSON as text nodes, media by its own address, where the browser sandboxes it,
// bytes as hexadecimal. A media type is a claim; what does not bear it out is shown as what it is. At most SHOWN bytes
// of text are read, whatever the size.

import { button, element } from "./elements.js";
import { size } from "./figures.js";

export const SHOWN = 64 * 1024;
const DEPTH = 100;
const HEX = 512;
const PDF_SIZE = 64 * 2 ** 20;

export async function preview(collection, meta) {
  const type = meta.media_type.split(";")[0].trim().toLowerCase();
  const kind = { image: "img", audio: "audio", video: "video" }[type.split("/")[0]];
  if (kind) return media(kind, collection, meta);
  if (type === "application/pdf") return pdf(collection, meta);
  return text(collection, meta, type);
}

const told = (words, ...rest) => element("p", { class: "told" }, words, ...rest);

function media(kind, collection, meta) {
  // The version keeps a cache from showing the one before.
  const src = `${collection.address(meta.key)}?version=${meta.version}`;
  const shown = element(kind, { src, ...(kind === "img" ? { alt: `Preview of ${meta.key}` } : { controls: true, preload: "metadata" }) });
  const box = element("div", { class: "media" }, shown);
  shown.addEventListener("error", async () => {
    const instead = await text(collection, meta, "").catch((error) => told(error.message));
    box.replaceWith(told(`It says that it is ${meta.media_type}; this browser can't show it as that.`), instead);
  });
  return box;
}

async function pdf(collection, meta) {
  if (!navigator.pdfViewerEnabled || meta.size > PDF_SIZE) return told("This browser shows no such PDF here. Download it to read it.");
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

async function text(collection, meta, type) {
  const { bytes, whole } = await collection.beginning(meta, SHOWN);
  const parts = [];
  if (!whole) parts.push(told(`Only the first ${size(SHOWN)} of ${size(meta.size)} are shown.`));
  const read = decode(bytes, meta.media_type, whole);
  if (read === null) return element("div", {}, ...parts, hexadecimal(bytes, meta));
  if (type === "text/html") parts.push(asPage(collection, meta));
  const parsed = whole && /[/+]json$/.test(type) ? parse(read) : null;
  if (parsed) parts.push(element("div", { class: "json" }, tree(parsed.value, 2)));
  else parts.push(element("pre", { tabindex: 0, "aria-label": "Content" }, read || "It is empty."));
  return element("div", {}, ...parts);
}

function asPage(collection, meta) {
  const show = button("Show as a page", () =>
    show.parentElement.replaceWith(element("iframe", { src: `${collection.address(meta.key)}?version=${meta.version}`,
      sandbox: "", referrerpolicy: "no-referrer", title: `Preview of ${meta.key}`, class: "paper" })));
  return told("", show, " Nothing in it can run; its pictures may come from other sites.");
}

// The text, or null for what is none. A character that the end cut through is left out.
function decode(bytes, type, whole) {
  const charset = /;\s*charset="?([^";\s]+)/i.exec(type)?.[1] ?? "utf-8";
  try {
    const read = new TextDecoder(charset, { fatal: true }).decode(bytes, { stream: !whole });
    return /[\x00-\x08\x0e-\x1a]/.test(read) ? null : read;
  } catch {
    return null;
  }
}

function hexadecimal(bytes, meta) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, HEX); at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((byte) => (byte > 0x1f && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${letters}`);
  }
  const words = `These bytes are no text; ${meta.size > HEX ? `the first ${HEX} of them are` : "they are"}:`;
  return element("div", {}, told(words), element("pre", { tabindex: 0, "aria-label": "Bytes" }, lines.join("\n")));
}

class Figure {
  constructor(source) {
    this.source = source;
  }
}

// JSON, its numbers as they were written: 12345678901234567890 is no double.
function parse(read) {
  let deepest = 0;
  let depth = 0;
  for (const character of read) {
    if (character === "[" || character === "{") deepest = Math.max(deepest, (depth += 1));
    else if (character === "]" || character === "}") depth -= 1;
  }
  if (deepest > DEPTH) return null;
  try {
    return { value: JSON.parse(read, (_, value, context) =>
      typeof value === "number" ? new Figure(context?.source ?? String(value)) : value) };
  } catch {
    return null;
  }
}

// A value with its name before it. Members are made when they are unfolded; the first `open` levels are from the start.
function tree(value, open, ...name) {
  if (value instanceof Figure) return element("span", {}, ...name, value.source);
  if (value === null || typeof value !== "object") {
    const shown = element("span", { class: typeof value === "string" ? "string" : null }, JSON.stringify(value));
    return element("span", {}, ...name, shown);
  }
  const [first, last, one] = Array.isArray(value) ? ["[", "]", "item"] : ["{", "}", "member"];
  const members = Object.entries(value);
  if (!members.length) return element("span", {}, ...name, first + last);
  const count = element("small", {}, `${members.length} ${one}${members.length === 1 ? "" : "s"}`);
  const made = element("details", { open: open > 0 }, element("summary", {}, ...name, `${first}\u2026${last} `, count));
  const fill = () => {
    if (!made.open || made.children.length > 1) return;
    const named = (key) => [element("b", {}, Array.isArray(value) ? key : JSON.stringify(key)), ": "];
    made.append(element("ul", {}, ...members.map(([key, member]) => element("li", {}, tree(member, open - 1, ...named(key))))));
  };
  made.addEventListener("toggle", fill);
  fill();
  return made;
}
