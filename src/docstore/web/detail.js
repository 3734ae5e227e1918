// The detail view of one document: preview, metadata, addresses and buttons. The actions themselves are in actions.js.

import { changeType, contentCoding, editFields, remove, rename } from "./actions.js";
import { button, element, input, openDialog } from "./dom.js";
import { edit, MAX_EDIT_SIZE } from "./editing.js";
import { formatAge, formatSize, localTime } from "./format.js";
import { now } from "./http.js";
import { escapeBidi } from "./keys.js";
import { preview } from "./preview.js";

const BINARY = /^(?:image\/(?!svg)|audio\/|video\/|application\/pdf)/i;

// Open the view; the promise resolves when it closes.
export async function openDetail(page, key) {
  const loading = page.collection.fetchMeta(key);
  const body = element("div", { class: "body" }, element("p", { class: "hint" }, "Loading\u2026"));
  return new Promise((closed) => {
    const detail = openDialog(escapeBidi(key), { kind: "detail", onclose: closed }, body);
    page.detail = detail;
    loading.then((meta) => (meta ? fill(page, detail, body, meta) : body.replaceChildren("This document does not exist (any more).")))
      .catch((error) => {
        body.replaceChildren();
        detail.showError(error);
      });
  });
}

async function fill(page, detail, body, meta) {
  const address = page.collection.address(meta.key);
  let busy = false;
  const run = (work) => async () => {
    if (busy) return;
    busy = true;
    detail.showError("");
    try {
      const next = await work(page, meta);
      if (next !== undefined) page.replaceDetail(next);
    } catch (error) {
      detail.showError(error);
    }
    busy = false;
  };
  const action = (text, letter, work, kind) =>
    button(text, run(work), { "aria-keyshortcuts": letter, class: kind, "data-key": letter });
  const actions = !page.writable ? [element("small", {}, "This store is read-only for you.")] : [
    meta.size <= MAX_EDIT_SIZE && !contentCoding(meta) && !BINARY.test(meta.media_type) ? action("Edit", "e", edit) : null,
    action("Rename", "r", rename),
    action("Fields", "f", editFields),
    action("Delete", "Delete", remove, "danger"),
  ];
  const shown = element("section", { "aria-label": "Preview" });
  body.replaceChildren(
    element("p", { class: "buttons" }, ...actions,
      element("a", { href: address, download: meta.key.split("/").at(-1) }, "Download"),
      element("a", { href: address, target: "_blank", rel: "noopener" }, "Open")),
    shown, metadata(meta), addresses(page, meta));
  const setType = page.writable ? (type) => run(() => changeType(page, meta, type))() : null;
  shown.append(await preview(page.collection, meta, setType).catch((error) => element("p", { class: "alert" }, error.message)));
}

function metadata(meta) {
  const age_s = Math.floor((now() - Date.parse(meta.modified)) / 1000);
  const rows = {
    Size: `${formatSize(meta.size)}${meta.size < 1024 ? "" : ` (${meta.size.toLocaleString()} bytes)`}`,
    Type: meta.media_type,
    Modified: `${localTime(meta.modified)} (${formatAge(age_s)})`,
    Expires: meta.expires ? `${localTime(meta.expires)} (${formatAge(Math.floor((Date.parse(meta.expires) - now()) / 1000))})` : "never",
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
  // A JSON string is a valid Python string. Characters that change the text direction are escaped.
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
      // The clipboard API needs a secure context; execCommand works elsewhere.
      await (navigator.clipboard?.writeText(text) ?? document.execCommand("copy"));
      copy.textContent = "Copied";
    }, { "aria-label": `Copy ${label}`, "aria-live": "polite" });
    return element("p", {}, element("span", { "aria-hidden": true }, label), shown, copy);
  }));
}
