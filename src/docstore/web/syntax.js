// Colours for source text: a few kinds of tokens for the common languages, as spans of text nodes. It needs no grammar: the
// token that is not recognized stays plain. Every pattern is linear, because the text is not trusted.

import { element } from "./dom.js";

const MAX_SIZE = 128 * 1024;
const STRING = String.raw`"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?`;
const C_COMMENT = String.raw`\/\/.*|\/\*[^]*?(?:\*\/|$(?![^]))`;
const NUMBER = String.raw`\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?)\b`;
const words = (list) => String.raw`\b(?:${list.trim().replaceAll(/\s+/g, "|")})\b`;

const LANGUAGES = {
  json: { name: String.raw`"(?:[^"\\\n]|\\.)*"(?=\s*:)`, string: STRING, number: NUMBER, keyword: words("true false null") },
  python: {
    comment: "#.*",
    string: String.raw`(?:(?<!\w)[rbfuRBFU]{1,2})?(?:"""[^]*?(?:"""|$(?![^]))|'''[^]*?(?:'''|$(?![^]))|${STRING})`,
    number: NUMBER,
    keyword: words(`and as assert async await break case class continue def del elif else except False finally for from
      global if import in is lambda match None nonlocal not or pass raise return True try while with yield`),
  },
  script: {
    comment: C_COMMENT,
    string: `${STRING}|\`(?:[^\`\\\\]|\\\\[^])*\`?`,
    number: NUMBER,
    keyword: words(`abstract as async await break case catch class const continue default delete do else enum export extends
      false finally for from function if implements import in instanceof interface let new null of private public return
      static super switch this throw true try type typeof undefined var void while yield`),
  },
  shell: {
    comment: String.raw`(?<![^\s;])#.*`,
    string: String.raw`"(?:[^"\\]|\\[^])*"?|'[^']*'?`,
    name: String.raw`\$(?:\w+|\{[^}\n]*\}?)`,
    keyword: words("case do done elif else esac exit export fi for function if in local return set then until while"),
  },
  markup: {
    comment: String.raw`<!--[^]*?(?:-->|$(?![^]))`,
    keyword: String.raw`<[\/!?]?[A-Za-z][\w:.-]*|[\/?]?>`,
    string: String.raw`(?<==\s?)(?:"[^"<>]*"|'[^'<>]*')`,
    name: String.raw`&#?\w{1,32};`,
  },
  style: {
    comment: String.raw`\/\*[^]*?(?:\*\/|$(?![^]))`,
    string: STRING,
    keyword: String.raw`@[\w-]+|![a-z]+`,
    name: String.raw`(?<![\w-])-{0,2}[A-Za-z][\w-]*(?=\s{0,9}:\s)`,
    number: String.raw`#[\da-fA-F]{3,8}\b|(?<![\w-])-?(?:\d+\.?\d*|\.\d+)(?:%|[a-z]+)?`,
  },
  settings: {
    comment: String.raw`(?<![^\s])[#;].*`,
    name: String.raw`(?<=^[ \t-]{0,80})[\w."\/-]+(?=[ \t]{0,20}[:=])|^[ \t]*\[.*\][ \t]*$`,
    string: STRING,
    number: NUMBER,
    keyword: words("true false null yes no on off"),
  },
  query: {
    comment: String.raw`--.*|\/\*[^]*?(?:\*\/|$(?![^]))`,
    string: "'(?:[^']|'')*'?",
    number: NUMBER,
    keyword: words(`add all alter and as asc begin between by case commit create delete desc distinct drop else end exists from
      group having if in index inner insert into is join key left like limit not null offset on or order outer primary
      references returning right rollback select set table then union unique update using values view when where with`),
  },
  compiled: {
    comment: C_COMMENT,
    string: String.raw`"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)'|${"`[^`]*`"}`,
    number: NUMBER,
    keyword: words(`auto bool break case char class const continue default defer do double else enum extern false final float
      fn for func go if impl import include int interface let long loop match mod mut namespace new nil null package private
      protected pub public range return self short static struct super switch template this throw trait true try type
      typedef union unsigned use using var virtual void where while`),
  },
};

const ENDINGS = {
  json: "json geojson ndjson jsonl", python: "py pyi", script: "js mjs cjs ts tsx jsx", shell: "sh bash zsh",
  markup: "html htm xml svg xhtml", style: "css scss less", settings: "toml yaml yml ini cfg conf properties env", query: "sql",
  compiled: "c h cc cpp hpp cs go rs java kt swift scala php",
};
const BY_ENDING = new Map(Object.entries(ENDINGS).flatMap(([language, endings]) => endings.split(" ").map((ending) => [ending, language])));
const BY_TYPE = [
  [/[/+](?:json|x-ndjson|json-seq)$/, "json"], [/python/, "python"], [/(?:java|ecma|type)script/, "script"], [/[/-](?:sh|shellscript)$/, "shell"],
  [/[/+](?:html|xml)$/, "markup"], [/\/css$/, "style"], [/toml|yaml|ini$/, "settings"], [/sql$/, "query"], [/x-(?:c|c\+\+|go|rust|java)(?:src)?$/, "compiled"],
];
const NAMES = { bash: "shell", console: "shell", py: "python", rust: "compiled", golang: "compiled", javascript: "script", typescript: "script", python: "python", shell: "shell" };

// Return the language of a document by its media type or the ending of its key, or of a word after a fence in Markdown;
// undefined if it is none of these.
export const languageOf = (type, key) =>
  BY_TYPE.find(([pattern]) => pattern.test(type))?.[1] ?? BY_ENDING.get(/\.([^./]+)$/.exec(key)?.[1].toLowerCase());
export const languageNamed = (name) => BY_ENDING.get(name) ?? NAMES[name];

const patterns = new Map();
function patternOf(language) {
  if (!patterns.has(language)) {
    const source = Object.entries(LANGUAGES[language]).map(([kind, one]) => `(?<${kind}>${one})`).join("|");
    patterns.set(language, new RegExp(source, language === "query" ? "gim" : "gm"));
  }
  return patterns.get(language);
}

// Return nodes for the text: strings, and spans with the class of their kind.
export function coloured(text, language) {
  if (!language || text.length > MAX_SIZE) return [text];
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(patternOf(language))) {
    const kind = Object.keys(found.groups).find((name) => found.groups[name] !== undefined);
    if (found.index > end) nodes.push(text.slice(end, found.index));
    nodes.push(element("span", { class: kind }, found[0]));
    end = found.index + found[0].length;
  }
  return [...nodes, text.slice(end)];
}
