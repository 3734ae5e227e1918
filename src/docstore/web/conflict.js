// Three versions side by side after a conflict: the text that was opened, mine, and theirs, with marks on what changed. The
// merged text is edited below them. This module knows no HTTP.

import { button, element } from "./dom.js";
import { compare, merge } from "./diff.js";
import { plural } from "./format.js";

const MAX_SAME_LINES = 6;
const WORDS = { mine: "changed by me", theirs: "changed by others", both: "the same change", conflict: "changed by both" };

// Return the view, or a sentence if there is no text to compare with. `base`, `mine` and `theirs` are texts; `theirs` is null
// for a deleted document, undefined for content that is not text. `use(text)` puts a text into the editor.
export function conflictView(base, mine, theirs, use) {
  const restore = button("Use mine", () => use(mine));
  if (typeof theirs !== "string") {
    const text = theirs === null ? "This document was deleted. Save stores it again." : "This document is not text any more. Save replaces it.";
    return element("div", { class: "versions" }, element("p", {}, text));
  }
  const parts = compare(base, mine, theirs);
  const merged = merge(parts);
  const overlapping = parts.filter(({ kind }) => kind === "conflict").length;
  const both = merged === null
    ? element("span", { class: "hint" }, `${plural(overlapping, "change")} of the same lines: merge by hand below.`)
    : button("Merge both", () => use(merged));
  const head = ["Change", "Base", "Mine", "Theirs"].map((name) => element("th", { scope: "col" }, name));
  return element("div", { class: "versions" },
    element("div", { class: "cells", tabindex: 0, role: "group", "aria-label": "Versions" }, element("table", {},
      element("thead", {}, element("tr", {}, head)), element("tbody", {}, parts.flatMap(rows)))),
    element("p", { class: "buttons" }, restore, button("Use theirs", () => use(theirs)), both));
}

// Long runs of equal lines are shortened to their ends, and blank ones are left out.
function rows(part) {
  if (part.kind !== "same") return [row(part)];
  const { base } = part;
  if (base.every((line) => !line)) return [];
  if (base.length <= MAX_SAME_LINES) return [row(part)];
  const lines = (part) => row({ kind: "same", base: part, mine: part, theirs: part });
  const skipped = `\u2026 ${base.length - MAX_SAME_LINES} equal lines \u2026`;
  return [lines(base.slice(0, 3)), element("tr", { class: "skipped" }, element("td", { colspan: 4 }, skipped)), lines(base.slice(-3))];
}

function row({ kind, base, mine, theirs }) {
  const cell = (name, lines, isChanged) =>
    element("td", { "data-version": name }, lines.flatMap((line, index) => [index ? "\n" : "", isChanged(line) ? element("mark", {}, line || "\u00a0") : line]));
  const changed = kind !== "same";
  return element("tr", { class: changed ? `changed ${kind}` : null }, element("th", { scope: "row" }, WORDS[kind] ?? ""),
    cell("Base", base, (line) => changed && !(mine.includes(line) && theirs.includes(line))),
    cell("Mine", mine, (line) => changed && !base.includes(line)),
    cell("Theirs", theirs, (line) => changed && !base.includes(line)));
}
