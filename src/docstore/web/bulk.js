// Actions on several documents: delete with undo, move into a folder, change fields. Every write has the condition of the
// single action. A failure of one document is listed and does not stop the others; a failure of the store stops all. What
// was not done can be tried again.

import { checkCopyable, form, keepForUndo, moveDocument, NO_UNDO, readFieldLines, releaseUndo, restore } from "./actions.js";
import { announce, ask, button, element, field, input, openDialog, showNote } from "./dom.js";
import { formatSize, parseTTL, plural, totalSize } from "./format.js";
import { etagOf, headersOf, isUnknown } from "./http.js";
import { becomesJSON, errorInJSON, textToCheck } from "./json_check.js";
import { describeRule, escapeBidi, isValidKey } from "./keys.js";

const CONCURRENT = 4;
const MAX_DOCUMENTS = 10_000;
const MAX_LINES = 50;
// The store can't be reached, refuses this client, or has no space: every other document would fail in the same way.
const STORE_FAILURES = new Set([0, 401, 403, 408, 429, 500, 502, 503, 504, 507]);

// The documents selected, with those in selected folders.
async function expand(page, { documents, folders }) {
  const all = [...documents];
  for (const prefix of folders) {
    let after = "";
    for (;;) {
      const query = { prefix, limit: 1000, ...(after ? { after } : {}) };
      const listing = await page.collection.list(query);
      all.push(...listing.documents);
      if (all.length > MAX_DOCUMENTS) throw new Error(`These are more than ${plural(MAX_DOCUMENTS, "document")}. Use a program such as docstore rm -r.`);
      if (!listing.next) break;
      after = listing.documents.at(-1).key;
    }
  }
  if (!all.length) throw new Error("These documents do not exist any more.");
  return all;
}

// The size of documents and the first of their keys.
function summary(metas) {
  const keys = metas.slice(0, 3).map((meta) => element("bdi", {}, escapeBidi(meta.key)));
  const rest = metas.length > keys.length ? `, and ${plural(metas.length - keys.length, "other")}` : "";
  return element("p", {}, `${formatSize(totalSize(metas))}: `, ...keys.flatMap((key, index) => (index ? [", ", key] : [key])), `${rest}.`);
}

// Run `work` for each document, with progress; resolve when all are done or the user ends it. `past` is the verb.
function runAll(page, title, past, metas, work) {
  return new Promise((resolve) => {
    const done = [];
    let waiting = [];
    let failures = [];
    let active = 0;
    let failed = null;
    let stopped = false;
    const bar = element("progress", { max: metas.length, value: 0, "aria-label": title });
    const status = element("p", { role: "status" });
    const list = element("ul", { class: "failures" });
    const stop = button("Stop", () => end());
    const again = button("Try again", () => start([...failures.map(([meta]) => meta), ...waiting]), { class: "primary" });
    const end = () => {
      if (!active) return dialog.close();
      stopped = true;
      return undefined;
    };
    const dialog = openDialog(title, { mayClose: () => (active ? end() : true), onclose: () => resolve(done) },
      status, bar, list, element("p", { class: "buttons" }, again, stop));
    const show = () => {
      bar.value = done.length;
      status.textContent = `${done.length} of ${metas.length} ${past}`;
      again.hidden = active > 0;
      stop.textContent = active ? "Stop" : "Done";
    };
    const next = () => {
      while (active < CONCURRENT && waiting.length && !failed && !stopped) run(waiting.shift());
      show();
      if (active) return;
      if (done.length) page.changed();
      if (done.length === metas.length) return dialog.close();
      const rest = waiting.length ? ` ${plural(waiting.length, "document")} not done.` : "";
      dialog.showError(failed ? `${failed.message}${rest}` : failures.length ? `${plural(failures.length, "document")} failed.${rest}` : `Stopped.${rest}`);
      list.replaceChildren(...failures.slice(0, MAX_LINES).map(([meta, error]) => element("li", {}, element("bdi", {}, meta.key), ": ", error.message)),
        failures.length > MAX_LINES ? element("li", {}, `and ${plural(failures.length - MAX_LINES, "other")}`) : "");
      again.focus();
    };
    const run = async (meta) => {
      active += 1;
      try {
        await work(meta);
        done.push(meta);
      } catch (error) {
        if (STORE_FAILURES.has(error.status)) {
          failed = error;
          waiting.unshift(meta);
        } else failures.push([meta, error]);
      }
      active -= 1;
      next();
    };
    const start = (these) => {
      [waiting, failures, failed, stopped] = [these, [], null, false];
      dialog.showError("");
      list.replaceChildren();
      next();
    };
    start([...metas]);
  });
}

export async function removeAll(page, selected) {
  const metas = await expand(page, selected);
  const undoable = keepForUndo(page.writable, metas);
  const undoText = undoable ? "You can undo it until you leave this page." : NO_UNDO;
  const answer = await ask(`Delete ${plural(metas.length, "document")}?`, [["keep", "Cancel"], ["delete", undoable ? "Delete" : "Delete permanently", "danger"]],
    "keep", summary(metas), element("p", {}, undoText));
  if (answer !== "delete") return undoable ? releaseUndo(metas) : undefined;
  // The contents of those that are deleted, or may be.
  const kept = new Map();
  const done = await runAll(page, `Deleting ${plural(metas.length, "document")}`, "deleted", metas, async (meta) => {
    const again = kept.has(meta);
    if (undoable && !again) kept.set(meta, await page.collection.content(meta));
    await page.collection.remove(meta).catch((error) => {
      if (again && error.status === 404) return;
      if (!isUnknown(error)) kept.delete(meta);
      throw error;
    });
  });
  page.selection.clear();
  const unknown = kept.size - done.length;
  const text = `Deleted ${plural(done.length, "document")}.${undoable && unknown ? ` ${plural(unknown, "other")} may be deleted.` : ""}`;
  if (!kept.size) return undoable ? releaseUndo(metas) : announce(text);
  return showNote(text, "Undo", () => restoreAll(page, kept), () => releaseUndo(metas));
}

// Throw an error for what could not be restored; what was restored is forgotten.
async function restoreAll(page, kept) {
  const count = kept.size;
  const failures = [];
  for (const [meta, content] of kept) {
    try {
      await restore(page, meta, content);
      kept.delete(meta);
    } catch (error) {
      failures.push(error);
      if (STORE_FAILURES.has(error.status)) break;
    }
  }
  page.changed();
  if (failures.length) throw new Error(`Restored ${count - kept.size} of ${plural(count, "document")}. ${failures[0].message}`);
  announce(`Restored ${plural(count, "document")}.`);
}

export async function moveAll(page, selected) {
  const metas = await expand(page, selected);
  const { folder } = page.listing;
  const target = input({ value: folder, autofocus: true, name: "folder", placeholder: "the collection itself" });
  const title = `Move ${plural(metas.length, "document")}`;
  const prefix = await form(title, "", [summary(metas),
    field("Folder", target, "such as reports/2026/; documents in it are never replaced")], "Move", async () => {
    const value = target.value.trim().replace(/^\/+/, "").replace(/\/*$/, "/");
    const prefix = value === "/" ? "" : value;
    const wrong = metas.find((meta) => !isValidKey(page.rule, prefix + meta.key.slice(folder.length)));
    if (wrong) throw new Error(`${prefix}${wrong.key.slice(folder.length)} is not a valid key. Keys here are ${describeRule(page.rule)}.`);
    if (prefix === folder) throw new Error("The documents are in this folder already.");
    return prefix;
  });
  if (prefix === undefined) return;
  const stored = new Set();
  const done = await runAll(page, title, "moved", metas, async (meta) => {
    checkCopyable(meta);
    if (stored.has(meta)) return page.collection.remove(meta).catch((error) => error.status === 404 || Promise.reject(error));
    return moveDocument(page, meta, prefix + meta.key.slice(folder.length)).catch((error) => {
      if (error.isStored) stored.add(meta);
      throw error;
    });
  });
  if (done.length) announce(`Moved ${plural(done.length, "document")} to ${prefix || "the collection"}.`);
}

export async function editAll(page, selected) {
  const metas = await expand(page, selected);
  const type = input({ placeholder: "unchanged", autofocus: true });
  const ttl = input({ placeholder: "unchanged" });
  const more = element("textarea", { rows: 3, spellcheck: "false", placeholder: "unchanged" });
  const title = `Fields of ${plural(metas.length, "document")}`;
  const change = await form(title, "", [summary(metas),
    field("Type", type, "such as text/plain; what you leave empty stays as it is"), field("TTL", ttl, "such as 90 s, 12 h or 7 d; \"never\" keeps them forever"),
    field("Other fields", more, "one per line, such as Meta-Author: Ann; a name without a value removes the field")], "Save", async () => {
    const never = /^\s*never\s*$/i.test(ttl.value);
    const seconds = never ? null : parseTTL(ttl.value);
    if (seconds === undefined) throw new Error("Invalid TTL. Write a duration such as 90 s, 12 h, 7 d or 1h30m, or never.");
    const lines = readFieldLines(more.value, page.storedHeaders);
    if (!type.value.trim() && !never && seconds === null && !lines.length) throw new Error("Nothing to change: write a type, a TTL or a field.");
    return (meta) => {
      const headers = Object.fromEntries(Object.entries(headersOf(meta)).map(([name, value]) => [name.toLowerCase(), value]));
      if (type.value.trim()) headers["content-type"] = type.value.trim();
      if (never) delete headers.ttl;
      if (seconds !== null) headers.ttl = String(seconds);
      for (const [name, value] of lines) {
        if (value) headers[name.toLowerCase()] = value;
        else delete headers[name.toLowerCase()];
      }
      return headers;
    };
  });
  if (!change) return;
  const done = await runAll(page, title, "changed", metas, async (meta) => {
    checkCopyable(meta);
    const content = await page.collection.content(meta);
    const headers = change(meta);
    const error = becomesJSON(meta, headers["content-type"]) && errorInJSON(await textToCheck(content));
    if (error) throw new Error(`It is not valid JSON. ${error.message} Change its type in its own Fields, which ask.`);
    await page.collection.put(meta.key, content, headers, etagOf(meta));
  });
  if (done.length) announce(`Changed ${plural(done.length, "document")}.`);
}
