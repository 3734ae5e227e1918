// One document: its preview, its meta, its addresses, and what can be done with it. What is done is done elsewhere.

import { change, remove, rename, unpacked } from "./changes.js";
import { EDITED, edit } from "./editing.js";
import { button, element, input, openDialog } from "./elements.js";
import { moment, size, span } from "./figures.js";
import { spelled } from "./keys.js";
import { preview } from "./preview.js";
import { now } from "./store.js";

const MEDIA = /^(?:image\/(?!svg)|audio\/|video\/|application\/pdf)/i;

// Resolves when it is closed.
export async function openSheet(page, key) {
  const found = page.collection.describe(key);
  const body = element("div", { class: "body" }, element("p", { class: "told" }, "Reading\u2026"));
  return new Promise((closed) => {
    const sheet = openDialog(spelled(key), { kind: "sheet", onclose: closed }, body);
    page.sheet = sheet;
    found.then((meta) => (meta ? fill(page, sheet, body, meta) : body.replaceChildren("It is not there (any more).")))
      .catch((error) => {
        body.replaceChildren();
        sheet.wrong(error);
      });
  });
}

async function fill(page, sheet, body, meta) {
  const address = page.collection.address(meta.key);
  let acting = false;
  const act = (what) => async () => {
    if (acting) return;
    acting = true;
    sheet.wrong("");
    try {
      const next = await what(page, meta);
      if (next !== undefined) page.replaceSheet(next);
    } catch (error) {
      sheet.wrong(error);
    }
    acting = false;
  };
  const action = (text, letter, what, kind) =>
    button(text, act(what), { "aria-keyshortcuts": letter, class: kind, "data-key": letter });
  const writing = !page.writable ? [element("small", {}, "This store is open for reading only.")] : [
    meta.size <= EDITED && !unpacked(meta) && !MEDIA.test(meta.media_type) ? action("Edit", "e", edit) : null,
    action("Rename", "r", rename),
    action("Fields", "f", change),
    action("Delete", "Delete", remove, "danger"),
  ];
  const shown = element("section", { "aria-label": "Preview" });
  body.replaceChildren(
    element("p", { class: "buttons" }, ...writing,
      element("a", { href: address, download: meta.key.split("/").at(-1) }, "Download"),
      element("a", { href: address, target: "_blank", rel: "noopener" }, "Open")),
    shown, facts(meta), addresses(page, meta));
  shown.append(await preview(page.collection, meta).catch((error) => element("p", { class: "alert" }, error.message)));
}

function facts(meta) {
  const away = Math.floor((now() - Date.parse(meta.modified)) / 1000);
  const rows = {
    Size: `${size(meta.size)}${meta.size < 1024 ? "" : ` (${meta.size.toLocaleString()} bytes)`}`,
    Type: meta.media_type,
    Modified: `${moment(meta.modified)} (${span(away)})`,
    Expires: meta.expires ? `${moment(meta.expires)} (${span(Math.floor((Date.parse(meta.expires) - now()) / 1000))})` : "never",
    ...meta.fields,
    Version: meta.version,
    "SHA-256": meta.sha256,
  };
  return element("dl", {}, ...Object.entries(rows).flatMap(([name, value]) =>
    [element("dt", {}, name), element("dd", {}, element("bdi", {}, value))]));
}

function addresses(page, meta) {
  const link = new URL(page.collection.address(meta.key), location).href;
  const base = new URL(page.collection.mount, location).href;
  // A JSON string is one of Python too; what would turn the text around is escaped.
  const name = JSON.stringify(meta.key).replace(/[\u007f-\u00a0\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const rows = {
    Link: link,
    curl: `curl '${link}'`,
    Python: `from docstore import Client; Client(${JSON.stringify(base)})[${name}]`,
  };
  return element("section", { class: "addresses", "aria-label": "Addresses" }, ...Object.entries(rows).map(([label, text]) => {
    const shown = input({ readonly: true, value: text, "aria-label": label, onfocus: () => shown.select() });
    const copy = button("Copy", async () => {
      shown.select();
      // Browsers give the clipboard to secure pages only; the older way works elsewhere.
      await (navigator.clipboard?.writeText(text) ?? document.execCommand("copy"));
      copy.textContent = "Copied";
    }, { "aria-label": `Copy ${label}`, "aria-live": "polite" });
    return element("p", {}, element("span", { "aria-hidden": true }, label), shown, copy);
  }));
}
