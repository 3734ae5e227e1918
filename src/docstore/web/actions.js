// Actions on one document: delete with undo, rename, edit fields and TTL. HTTP has no method for the last two, so they read
// the content and store it again. Every write is conditional: it replaces only the version that the user has seen.

import { announce, ask, button, element, field, input, openDialog, showNote } from "./dom.js";
import { formatSize, formatTTL, localTime, parseTTL, totalSize } from "./format.js";
import { contentCoding, etagOf, headersOf, isUnknown, now, Problem } from "./http.js";
import { becomesJSON, confirmJSON, textToCheck } from "./json_check.js";
import { describeRule, isValidKey } from "./keys.js";

const MAX_COPY_SIZE = 512 * 2 ** 20;
const MAX_UNDO_SIZE = 64 * 2 ** 20;
let undo_size = 0;

// Whether the contents can be kept for an undo; then their size counts until `releaseUndo`.
export function keepForUndo(writable, metas) {
  if (!writable || metas.some(contentCoding) || undo_size + totalSize(metas) > MAX_UNDO_SIZE) return false;
  undo_size += totalSize(metas);
  return true;
}

export const releaseUndo = (metas) => {
  undo_size -= totalSize(metas);
};

export const NO_UNDO = "It can't be undone: the content is too large to keep here or has a Content-Encoding, or you may not store documents.";

// Store a deleted document again, unless it exists or its key is used by another one.
export async function restore(page, meta, content) {
  if (meta.expires && Date.parse(meta.expires) <= now()) throw new Error(`${meta.key} has expired.`);
  try {
    await page.collection.put(meta.key, content, headersOf(meta), null);
  } catch (error) {
    if (error.status !== 412) throw error;
    const stored = await page.collection.fetchMeta(meta.key);
    if (stored?.version !== meta.version) throw new Error(`The key ${meta.key} is used by another document now.`);
  }
}

export function checkCopyable(meta) {
  if (contentCoding(meta)) {
    throw new Error(`The document has the Content-Encoding ${contentCoding(meta)}, which browsers decode. Use a program such as curl.`);
  }
  if (meta.size > MAX_COPY_SIZE) throw new Error(`The document is larger than ${formatSize(MAX_COPY_SIZE)}. Use a program such as curl.`);
}

// This and the other actions return the key to show next, null to close the detail view, undefined for no change.
export async function remove(page, meta, writable = page.writable) {
  const undoable = keepForUndo(writable, [meta]);
  const answers = [["keep", "Cancel"], ["delete", "Delete permanently", "danger"]];
  if (!undoable && (await ask(`Delete ${meta.key}?`, answers, "keep", element("p", {}, NO_UNDO))) !== "delete") return undefined;
  let content = null;
  const undo = async () => {
    await restore(page, meta, content);
    page.changed();
    announce(`Restored ${meta.key}.`);
  };
  const offerUndo = (text) => showNote(text, "Undo", undo, () => releaseUndo([meta]));
  try {
    content = undoable ? await page.collection.content(meta) : null;
    await page.collection.remove(meta);
  } catch (error) {
    if (content && isUnknown(error)) offerUndo(`${meta.key} may be deleted: no response.`);
    else if (undoable) releaseUndo([meta]);
    throw error;
  }
  page.changed();
  if (content) offerUndo(`Deleted ${meta.key}.`);
  else announce(`Deleted ${meta.key}.`);
  return null;
}

const saveOnCtrlS = (event) => {
  if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.currentTarget.requestSubmit();
};

// Show a form in a dialog and return the result of `store`, or undefined if it was cancelled. The dialog shows errors
// that `store` throws, and stays open while `store` returns undefined. It asks before it discards what was typed.
export function form(title, kind, controls, text, store, isChanged) {
  return new Promise((resolve) => {
    let result;
    const save = element("button", { class: "primary" }, text);
    const values = () => JSON.stringify([...node.querySelectorAll("input, textarea")].map(({ value, checked }) => [value, checked]));
    isChanged ??= () => values() !== initial;
    const mayClose = async () => !isChanged() || (await ask("Leave without saving?", [["stay", "Keep editing"], ["leave", "Leave", "danger"]], "stay")) === "leave";
    const warn = (event) => isChanged() && event.preventDefault();
    // What is typed while the request runs would not be stored.
    const setBusy = (isBusy) => {
      save.disabled = isBusy;
      for (const control of node.querySelectorAll("input, textarea")) control.readOnly = isBusy;
    };
    const node = element("form", { novalidate: true, onkeydown: saveOnCtrlS, onsubmit: async (event) => {
      event.preventDefault();
      if (save.disabled) return;
      dialog.showError("");
      setBusy(true);
      try {
        result = await store(dialog);
        if (result !== undefined) dialog.close();
      } catch (error) {
        dialog.showError(error);
      }
      setBusy(false);
    } }, controls, element("p", { class: "buttons" }, save, button("Cancel", async () => (await mayClose()) && dialog.close())));
    const initial = values();
    const onclose = () => {
      removeEventListener("beforeunload", warn);
      resolve(result);
    };
    addEventListener("beforeunload", warn);
    const dialog = openDialog(title, { kind, mayClose, onclose }, node);
  });
}

export function keyField(page, value) {
  return field("Key", input({ value, autofocus: true, name: "key" }), describeRule(page.rule));
}

export function checkKey(page, control) {
  const key = control.value;
  if (!isValidKey(page.rule, key)) throw new Error(`Invalid key. Keys here are ${describeRule(page.rule)}.`);
  return key;
}

// Store a document under another key, which must be unused, and delete it.
export async function moveDocument(page, meta, key) {
  const content = await page.collection.content(meta);
  await page.collection.put(key, content, headersOf(meta), null).catch((error) => {
    throw error.status === 412 ? new Error(`The key ${key} is already used.`) : error;
  });
  page.changed();
  try {
    await page.collection.remove(meta);
  } catch (error) {
    throw Object.assign(new Problem(error.status, `Stored as ${key}, but ${meta.key} was not deleted`, error.message), { isStored: true });
  }
}

export async function rename(page, meta) {
  checkCopyable(meta);
  const keyControl = keyField(page, meta.key);
  return form(`Rename ${meta.key}`, "", [keyControl], "Rename", async () => {
    const key = checkKey(page, keyControl.children[1]);
    if (key === meta.key) return null;
    await moveDocument(page, meta, key);
    announce(`Renamed to ${key}.`);
    return key;
  }).then((key) => key ?? undefined);
}

// Read the lines of "Other fields" as pairs of a name and a value, which may be empty.
export function readFieldLines(text, storedHeaders) {
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const [, name = "", value = ""] = /^\s*([^\s:]+)\s*:\s*(.*?)\s*$/.exec(line) ?? [];
    if (!/^meta-./i.test(name) && !storedHeaders.includes(name.toLowerCase())) {
      throw new Error(`Can't store the field "${line}". Use ${["Meta-\u2026", ...storedHeaders].join(", ")}.`);
    }
    return [name, value];
  });
}

// Return controls for the stored fields, and `read`, which returns the header fields or throws for an invalid control.
export function fieldControls(meta, storedHeaders) {
  const initial = meta.expires ? formatTTL(Math.max(1, Math.ceil((Date.parse(meta.expires) - now()) / 1000))) : "";
  const type = input({ value: meta.media_type ?? "" });
  const ttl = input({ value: initial, placeholder: "forever" });
  const lines = Object.entries(meta.fields ?? {}).map(([name, value]) => `${name}: ${value}\n`).join("");
  const more = element("textarea", { value: lines, rows: 3, spellcheck: "false" });
  const read = () => {
    const headers = type.value.trim() ? { "Content-Type": type.value.trim() } : {};
    const seconds = parseTTL(ttl.value);
    if (seconds === undefined) throw new Error("Invalid TTL. Write a duration such as 90 s, 12 h, 7 d or 1h30m.");
    // An unchanged TTL keeps the time of expiry; sending it as typed would extend it.
    if (seconds !== null) headers.TTL = ttl.value === initial ? headersOf(meta).TTL : String(seconds);
    return Object.assign(headers, Object.fromEntries(readFieldLines(more.value, storedHeaders)));
  };
  const hint = meta.expires ? `expires ${localTime(meta.expires)}; leave empty to keep forever` : "such as 90 s, 12 h or 7 d; leave empty to keep forever";
  return { read, controls: [field("Type", type, "leave empty to let the server guess it"), field("TTL", ttl, hint),
    field("Other fields", more, "one per line, such as Meta-Author: Ann or Cache-Control: max-age=60")] };
}

export async function editFields(page, meta) {
  checkCopyable(meta);
  const { read, controls } = fieldControls(meta, page.storedHeaders);
  return form(`Fields of ${meta.key}`, "", controls, "Save", () => storeAgain(page, meta, read()));
}

export async function changeType(page, meta, type) {
  checkCopyable(meta);
  return storeAgain(page, meta, { ...headersOf(meta), "Content-Type": type });
}

async function storeAgain(page, meta, headers) {
  const content = await page.collection.content(meta);
  const type = headers["Content-Type"] ?? "";
  if (becomesJSON(meta, type)) {
    const chosen = await confirmJSON(await textToCheck(content), type);
    if (chosen === null) return undefined;
    headers = { ...headers, "Content-Type": chosen };
  }
  await page.collection.put(meta.key, content, headers, etagOf(meta));
  page.changed();
  announce("Saved.");
  return meta.key;
}
