// The detail view of one document: preview, metadata, addresses and buttons. The actions themselves are in actions.js.

import { changeType, editFields, remove, rename } from "./actions.js";
import { announce, button, copyLine, element, openDialog } from "./dom.js";
import { edit, MAX_EDIT_SIZE } from "./editing.js";
import { formatAge, formatSize, localTime } from "./format.js";
import { contentCoding, now } from "./http.js";
import { escapeBidi, isValidKey } from "./keys.js";
import { neighbour } from "./neighbours.js";
import { preview } from "./preview.js";

const BINARY = /^(?:image\/(?!svg)|audio\/|video\/|application\/pdf)/i;

// Open the view; the promise resolves when it closes. `step` is 1 or -1 if the user came from the document before or after.
export async function openDetail(page, key, step = 0) {
  // Without an answer all is offered, and the server decides.
  const rights = page.collection.rights(key).catch(() => ({ writable: true, removable: true }));
  const loading = Promise.all([page.collection.fetchMeta(key), rights]);
  const body = element("div", { class: "body" }, element("p", { class: "hint" }, "Loading\u2026"));
  return new Promise((closed) => {
    const onclose = () => {
      const row = [...document.querySelectorAll("#documents tbody th a")].find((link) => page.listing.keyOf(link) === key);
      if (step && !document.querySelector("dialog")) row?.focus();
      closed();
    };
    const detail = openDialog(escapeBidi(key), { kind: step ? "detail still" : "detail", onclose }, body);
    page.detail = detail;
    addSteps(page, detail, key, step);
    loading.then(([meta, rights]) => (meta ? fill(page, detail, body, meta, rights) : missing(page, body, key, rights)))
      .catch((error) => {
        body.replaceChildren();
        detail.showError(error);
      });
  });
}

// Buttons and arrow keys for the documents before and after this one.
function addSteps(page, detail, key, step) {
  const go = (by) => async () => {
    try {
      const next = await neighbour(page, key, by);
      if (page.detail !== detail) return;
      if (next !== null) page.replaceDetail(next, by);
      else announce(by > 0 ? "This is the last document." : "This is the first document.");
    } catch (error) {
      detail.showError(error);
    }
  };
  const [previous, next] = [-1, 1].map(go);
  const buttons = [
    button("\u2039", previous, { "aria-label": "Previous document", "aria-keyshortcuts": "k ArrowLeft", "data-key": "k", title: "Previous (k)" }),
    button("\u203a", next, { "aria-label": "Next document", "aria-keyshortcuts": "j ArrowRight", "data-key": "j", title: "Next (j)" }),
  ];
  detail.querySelector(".title .cross").before(element("span", { class: "steps" }, buttons));
  if (step) buttons[step > 0 ? 1 : 0].focus();
  detail.addEventListener("keydown", (event) => {
    const act = { ArrowLeft: previous, ArrowRight: next }[event.key];
    // Elsewhere these keys scroll, seek or move the cursor.
    if (!act || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("[tabindex], input, textarea, audio, video")) return;
    event.preventDefault();
    act();
  });
}

function missing(page, body, key, { writable }) {
  const make = button("Create it", async () => {
    const { create } = await import("./editing.js");
    const stored = await create(page, key);
    if (stored) page.replaceDetail(stored);
  }, { class: "primary" });
  body.replaceChildren(element("p", {}, "This document does not exist (any more)."), element("p", { class: "buttons" }, writable && isValidKey(page.rule, key) ? make : null));
}

async function fill(page, detail, body, meta, { writable, removable }) {
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
  const isText = meta.size <= MAX_EDIT_SIZE && !contentCoding(meta) && !BINARY.test(meta.media_type);
  // Links end with a token, so only users who have logged in with one can sign them.
  const share = document.querySelector("#login bdi")
    ? action("Share", "s", async (...given) => (await import("./share.js")).share(...given, { writable, removable })) : null;
  const actions = !writable && !removable ? [element("small", {}, "You may only read this document."), share] : [
    writable && isText ? action("Edit", "e", edit) : null,
    writable && removable ? action("Rename", "r", rename) : null,
    writable ? action("Fields", "f", editFields) : null,
    share,
    removable ? action("Delete", "Delete", (...given) => remove(...given, writable), "danger") : null,
  ];
  const shown = element("section", { class: "preview", "aria-label": "Preview" });
  body.replaceChildren(
    element("p", { class: "buttons" }, actions,
      element("a", { href: address, download: meta.key.split("/").at(-1) }, "Download"),
      element("a", { href: address, target: "_blank", rel: "noopener" }, "Open")),
    shown, element("div", { class: "about" }, metadata(meta), addresses(page, meta)));
  const setType = writable ? (type) => run(() => changeType(page, meta, type))() : null;
  const show = async () => {
    const content = await preview(page.collection, meta, setType).catch((error) =>
      element("p", { class: "alert" }, error.message, " ", button("Try again", show)));
    shown.replaceChildren(content);
  };
  await show();
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
  return element("section", { class: "addresses", "aria-label": "Addresses" }, ...Object.entries(rows).map((row) => copyLine(...row)));
}
