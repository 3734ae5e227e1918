// Three versions of a text compared by lines: a base, and two texts that were made from it. It knows no DOM.

const MAX_CELLS = 4_000_000;

// Return, for each line of `base`, the index of the same line in `other`, or -1: a longest common subsequence. If the texts
// are too large to compare, only their common start and end count.
function matches(base, other) {
  const found = new Int32Array(base.length).fill(-1);
  let first = 0;
  while (first < Math.min(base.length, other.length) && base[first] === other[first]) found[first] = first++;
  let [a, b] = [base.length, other.length];
  while (a > first && b > first && base[a - 1] === other[b - 1]) found[--a] = --b;
  const [rows, width] = [a - first, b - first + 1];
  if (rows * width > MAX_CELLS) return found;
  const length = new Uint32Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = width - 2; j >= 0; j -= 1) {
      const [down, across] = [length[(i + 1) * width + j], length[i * width + j + 1]];
      length[i * width + j] = base[first + i] === other[first + j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(down, across);
    }
  }
  for (let [i, j] = [0, 0]; i < rows && j < width - 1; ) {
    if (base[first + i] === other[first + j]) found[first + i++] = first + j++;
    else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return found;
}

// Return the parts of the three texts, in order: { kind, base, mine, theirs }, where the last three are lists of lines. Kind is
// "same", "mine" or "theirs" for a change in one of them, "both" for the same change in both, "conflict" for different ones.
export function compare(base, mine, theirs) {
  const texts = [base, mine, theirs].map((text) => text.split("\n"));
  const [toMine, toTheirs] = [matches(texts[0], texts[1]), matches(texts[0], texts[2])];
  const parts = [];
  let begin = [0, 0, 0];
  const add = (end, isSame) => {
    const [base, mine, theirs] = texts.map((lines, index) => lines.slice(begin[index], end[index]));
    begin = end;
    if (!base.length && !mine.length && !theirs.length) return;
    if (isSame && parts.at(-1)?.kind === "same") {
      for (const name of ["base", "mine", "theirs"]) parts.at(-1)[name].push(base[0]);
    } else parts.push({ kind: isSame ? "same" : kindOf(...[base, mine, theirs].map((lines) => lines.join("\n") + lines.length)), base, mine, theirs });
  };
  for (let line = 0; line < texts[0].length; line += 1) {
    if (toMine[line] < 0 || toTheirs[line] < 0) continue;
    const place = [line, toMine[line], toTheirs[line]];
    add(place, false);
    add(place.map((index) => index + 1), true);
  }
  add(texts.map((lines) => lines.length), false);
  return parts;
}

function kindOf(base, mine, theirs) {
  if (mine === theirs) return "both";
  if (base === mine) return "theirs";
  return base === theirs ? "mine" : "conflict";
}

// Return the text with the changes of both, or null if some of them overlap.
export function merge(parts) {
  if (parts.some(({ kind }) => kind === "conflict")) return null;
  return parts.flatMap(({ kind, mine, theirs }) => (kind === "theirs" ? theirs : mine)).join("\n");
}
