// The editor for new and existing text documents. A save replaces only the version that was loaded. If the document was
// changed meanwhile, the editor shows both versions side by side for a manual merge.

import { checkKey, fieldControls, form, keyField } from "./actions.js";
import { announce, ask, button, element } from "./dom.js";
import { etagOf, headersOf } from "./http.js";

export const MAX_EDIT_SIZE = 2 ** 20;
const MAX_DIFF_CELLS = 4_000_000;

const textArea = (value, label) => element("textarea", { value, class: "text", "aria-label": label, spellcheck: "false" });
const confirmLeave = async () =>
  (await ask("Leave without saving?", [["stay", "Keep editing"], ["leave", "Leave", "danger"]], "stay")) === "leave";

function warnBeforeUnload(isChanged) {
  const warn = (event) => isChanged() && event.preventDefault();
  addEventListener("beforeunload", warn);
  return () => removeEventListener("beforeunload", warn);
}

export async function create(page, wanted = page.listing.folder) {
  const keyControl = keyField(page, wanted);
  const { read, controls } = fieldControls({}, page.storedHeaders);
  const content = textArea("", "Content");
  const stopWarning = warnBeforeUnload(() => content.value);
  const mayClose = async () => !content.value || (await confirmLeave());
  const key = await form("New document", "wide", [keyControl, content, element("details", {}, element("summary", {}, "Type, TTL, fields"), ...controls)],
    "Store", async () => {
      const key = checkKey(page, keyControl.children[1]);
      await page.collection.put(key, new Blob([content.value]), read(), null).catch((error) => {
        throw error.status === 412 ? new Error(`The key ${key} is already used. Choose another key, or edit that document.`) : error;
      });
      page.changed();
      announce(`Stored ${key}.`);
      return key;
    }, mayClose);
  stopWarning();
  return key;
}

// Load the text and its kind of line ending, because a textarea normalizes line endings.
async function load(page, meta) {
  const bytes = await (await page.collection.content(meta)).arrayBuffer();
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error("Only UTF-8 text can be edited here. Download it, change it, and upload it again.");
  }
  const [all, windows] = [text.match(/\r\n?|\n/g) ?? [], text.match(/\r\n/g) ?? []];
  const end = all.length && all.length === windows.length ? "\r\n" : "\n";
  const mixed = text.replaceAll("\r\n", "\n") !== text && end === "\n" || /\r(?!\n)/.test(text);
  return { text: text.replace(/\r\n?/g, "\n"), end, mixed };
}

export async function edit(page, first) {
  if (/charset="?(?!utf-8|us-ascii)[^;]/i.test(first.media_type)) throw new Error("Only UTF-8 text can be edited here.");
  let base = { meta: first, ...(await load(page, first)) };
  const mine = textArea(base.text, "Content");
  mine.autofocus = true;
  const columns = element("div", { class: "columns" }, mine);
  const stopWarning = warnBeforeUnload(() => mine.value !== base.text);
  const mayClose = async () => mine.value === base.text || (await confirmLeave());
  let dialog;
  const store = async (opened) => {
    dialog = opened;
    const content = new Blob([mine.value.replaceAll("\n", base.end)]);
    const { meta } = base;
    try {
      await page.collection.put(first.key, content, headersOf(meta ?? first), meta && etagOf(meta));
    } catch (error) {
      if (error.status !== 412 && error.status !== 409) throw error;
      await compare();
      return undefined;
    }
    page.changed();
    announce(`Saved ${first.key}.`);
    return first.key;
  };
  // Show both versions. The next save replaces the version shown as theirs, and nothing newer.
  const compare = async () => {
    const meta = await page.collection.fetchMeta(first.key);
    const theirs = meta ? await load(page, meta).catch(() => ({ text: "", end: base.end, binary: true })) : null;
    base = { ...base, meta, end: theirs?.end ?? base.end };
    const use = () => {
      mine.value = base.text = theirs.text;
      columns.replaceChildren(mine);
      dialog.classList.remove("conflict");
      dialog.showError("");
      mine.focus();
    };
    const lines = theirs && !theirs.binary ? diff(mine.value.split("\n"), theirs.text.split("\n")) : [];
    const shown = !theirs ? "This document was deleted." : theirs.binary ? "This document is not text any more." :
      element("pre", { tabindex: 0, "aria-label": "Theirs" }, ...lines.flatMap(([line, same]) => [same ? line : element("mark", {}, line), "\n"]));
    columns.replaceChildren(
      element("section", {}, element("h3", {}, "Mine"), mine),
      element("section", {}, element("h3", {}, "Theirs"), shown, theirs && !theirs.binary ? button("Use theirs", use) : null));
    dialog.classList.add("conflict");
    dialog.showError("This document changed while you were editing. Merge on the left, or use theirs. Save then replaces the version on the right.");
    mine.focus();
  };
  const notes = base.mixed ? element("p", { class: "hint" }, "This text has several kinds of line endings. Saving makes them all the same.") : null;
  const key = await form(`Edit ${first.key}`, "wide", [notes, columns].filter(Boolean), "Save", store, mayClose);
  stopWarning();
  return key;
}

// Return the lines of `theirs`, each with whether it is also in `mine` (by longest common subsequence).
function diff(mine, theirs) {
  let first = 0;
  while (first < Math.min(mine.length, theirs.length) && mine[first] === theirs[first]) first += 1;
  let [a, b] = [mine.length, theirs.length];
  while (a > first && b > first && mine[a - 1] === theirs[b - 1]) [a, b] = [a - 1, b - 1];
  const [left, right] = [mine.slice(first, a), theirs.slice(first, b)];
  const same = new Set();
  if (left.length * right.length <= MAX_DIFF_CELLS) {
    const width = right.length + 1;
    const length = new Uint32Array((left.length + 1) * width);
    for (let i = left.length - 1; i >= 0; i -= 1) {
      for (let j = right.length - 1; j >= 0; j -= 1) {
        const [down, across] = [length[(i + 1) * width + j], length[i * width + j + 1]];
        length[i * width + j] = left[i] === right[j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(down, across);
      }
    }
    for (let [i, j] = [0, 0]; i < left.length && j < right.length; ) {
      if (left[i] === right[j]) same.add(first + j), (i += 1), (j += 1);
      else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i += 1;
      else j += 1;
    }
  }
  return theirs.map((line, index) => [line, index < first || index >= b || same.has(index)]);
}
