// JSON as text: where it is broken, and formatting that keeps the order of members and the spelling of numbers. Written
// without recursion, so deep nesting is no problem. JSON.parse was not enough: not every browser reports a position.

import { matchAt } from "./format.js";

const SPACE = /[ \t\n\r]*/y;
const TOKEN = /([{}[\]:,])|("[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*")|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.+-])|(?:true|false|null)(?!\w))/y;
const STRING_START = /"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*/y;
const WANTED = {
  value: "a value",
  first: "a value or ]",
  name: "a name in quotes",
  firstName: "a name in quotes or }",
  colon: "a colon",
};

// Call `visit(token, depth)` for each token. Return null, or the place of the first error: { at, message }.
function walk(text, visit) {
  const open = [];
  let want = "value";
  for (let at = 0; ; ) {
    at += matchAt(SPACE, text, at)[0].length;
    const [token = "", mark = "", string, plain] = matchAt(TOKEN, text, at) ?? [];
    const isValue = want === "value" || want === "first";
    const inObject = open.at(-1) === "{";
    if ((mark === "{" || mark === "[") && isValue) {
      visit(token, open.push(mark));
      want = mark === "{" ? "firstName" : "first";
    } else if (mark === (inObject ? "}" : "]") && open.length && [inObject ? "firstName" : "first", "next"].includes(want)) {
      open.pop();
      visit(token, open.length);
      want = "next";
    } else if ((string && ["name", "firstName"].includes(want)) || ((string || plain) && isValue)) {
      visit(token, open.length);
      want = isValue ? "next" : "colon";
    } else if (mark === ":" && want === "colon") {
      visit(token, open.length);
      want = "value";
    } else if (mark === "," && want === "next" && open.length) {
      visit(token, open.length);
      want = inObject ? "name" : "value";
    } else if (at === text.length && want === "next" && !open.length) {
      return null;
    } else {
      return broken(text, at, WANTED[want] ?? (open.length ? `a comma or ${inObject ? "}" : "]"}` : "the end"));
    }
    at += token.length;
  }
}

function broken(text, at, wanted) {
  const string = matchAt(STRING_START, text, at);
  const end = string ? at + string[0].length : at;
  if (string && text[end] !== '"') {
    const message = text[end] === "\\" ? "this escape is not allowed in a string" : "a string is not closed on its line";
    return { at: end, message };
  }
  return { at, message: at === text.length ? `the text ends where ${wanted} is expected` : `${wanted} is expected here` };
}

// Return null for valid JSON, else { at, message }: the place in UTF-16 units, and a sentence with line and column from 1.
export function findJSONError(text) {
  const error = walk(text, () => {});
  if (!error) return null;
  const before = text.slice(0, error.at).split("\n");
  return { at: error.at, message: `Line ${before.length}, column ${[...before.at(-1)].length + 1}: ${error.message}.` };
}

// Deep nesting would make the text many times longer.
const MAX_INDENT = 50;
const indent = (depth) => "  ".repeat(Math.min(depth, MAX_INDENT));

// Format valid JSON with two spaces for each level.
export function formatJSON(text) {
  const parts = [];
  let before = "";
  walk(text, (token, depth) => {
    const closes = token === "}" || token === "]";
    const empty = closes && (before === "{" || before === "[");
    if (!empty && (closes || ["{", "[", ","].includes(before))) parts.push("\n", indent(depth - (token === "{" || token === "[" ? 1 : 0)));
    parts.push(token === ":" ? ": " : token);
    before = token;
  });
  return `${parts.join("")}\n`;
}
