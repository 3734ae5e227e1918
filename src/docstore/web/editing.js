// The editor for new and existing text documents. A save replaces only the version that was loaded. If the document was
// changed meanwhile, the editor shows the three versions side by side, to be merged.

import { checkKey, fieldControls, form, keyField } from "./actions.js";
import { announce, element, field } from "./dom.js";
import { conflictView } from "./conflict.js";
import { etagOf, headersOf } from "./http.js";
import { confirmJSON, isJSONKey, isJSONType, jsonTools, replaceText } from "./json_check.js";

export const MAX_EDIT_SIZE = 2 ** 20;

const textArea = (value, label) => element("textarea", { value, class: "text", "aria-label": label, spellcheck: "false" });

export async function create(page, wanted = page.listing.folder) {
  const keyControl = keyField(page, wanted);
  const { read, controls } = fieldControls({}, page.storedHeaders);
  const content = textArea("", "Content");
  const control = keyControl.children[1];
  const typeOf = () => controls[0].children[1].value.trim() || (isJSONKey(control.value) ? "application/json" : "");
  const tools = jsonTools(content, () => isJSONType(typeOf()));
  for (const one of [control, controls[0].children[1]]) one.addEventListener("input", tools.check);
  return form("New document", "wide", [keyControl, field("Content", content), tools, element("details", {}, element("summary", {}, "Type, TTL, fields"), ...controls)],
    "Store", async () => {
      const key = checkKey(page, control);
      const headers = read();
      const type = isJSONType(typeOf()) ? await confirmJSON(content.value, typeOf(), content) : "";
      if (type === null) return undefined;
      await page.collection.put(key, new Blob([content.value]), type ? { ...headers, "Content-Type": type } : headers, null).catch((error) => {
        throw error.status === 412 ? new Error(`The key ${key} is already used. Choose another key, or edit that document.`) : error;
      });
      page.changed();
      announce(`Stored ${key}.`);
      return key;
    });
}

// Load the text and its kind of line ending, because a textarea normalizes line endings. Return undefined for other content.
async function load(page, meta) {
  const bytes = await (await page.collection.content(meta)).arrayBuffer();
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
  const [all, windows] = [text.match(/\r\n?|\n/g) ?? [], text.match(/\r\n/g) ?? []];
  const end = all.length && all.length === windows.length ? "\r\n" : "\n";
  const mixed = text.replaceAll("\r\n", "\n") !== text && end === "\n" || /\r(?!\n)/.test(text);
  return { text: text.replace(/\r\n?/g, "\n"), end, mixed };
}

export async function edit(page, first) {
  const isOther = /charset="?(?!utf-8|us-ascii)[^;]/i.test(first.media_type);
  let base = isOther ? undefined : await load(page, first);
  if (!base) throw new Error("Only UTF-8 text can be edited here. Download it, change it, and upload it again.");
  const mine = textArea(base.text, "Content");
  mine.autofocus = true;
  // The version that Save replaces, null for none, and the one whose fields it keeps.
  let meta = first;
  let kept = first;
  const versions = element("div", {});
  const tools = jsonTools(mine, () => isJSONType(kept.media_type));
  let dialog;
  const store = async (opened) => {
    dialog = opened;
    const headers = headersOf(kept);
    if (isJSONType(headers["Content-Type"])) headers["Content-Type"] = await confirmJSON(mine.value, headers["Content-Type"], mine);
    if (headers["Content-Type"] === null) return undefined;
    const content = new Blob([mine.value.replaceAll("\n", base.end)]);
    try {
      await page.collection.put(first.key, content, headers, meta && etagOf(meta));
    } catch (error) {
      if (error.status !== 412 && error.type !== "changed-meanwhile") throw error;
      await showConflict();
      return undefined;
    }
    page.changed();
    announce(`Saved ${first.key}.`);
    return first.key;
  };
  // Show the three versions. The next save replaces the version shown as theirs, and nothing newer.
  const showConflict = async () => {
    const stored = await page.collection.fetchMeta(first.key);
    const theirs = stored && (await load(page, stored));
    meta = stored;
    kept = theirs ? stored : first;
    const use = (text) => replaceText(mine, text);
    versions.replaceChildren(conflictView(base.text, mine.value, stored && theirs?.text, use), element("h3", {}, "Merged text"));
    base = { ...base, ...theirs };
    tools.check();
    dialog.classList.add("conflict");
    dialog.showError("This document changed while you were editing. Nothing was overwritten. Merge the versions in the text below; Save then replaces theirs.");
    mine.focus();
    dialog.scrollTop = 0;
  };
  const notes = base.mixed ? element("p", { class: "hint" }, "This text has several kinds of line endings. Saving makes them all the same.") : null;
  return form(`Edit ${first.key}`, "wide", [notes, versions, mine, tools], "Save", store, () => mine.value !== base.text);
}
