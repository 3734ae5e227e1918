// The documents before and after one in the list: first the rows that are shown, then the pages before and after them.

const ROWS = "#documents tbody tr:not(.folder) th a";
const PAGE_SIZE = 1000;

// Return the key of the document `step` (1 or -1) rows from the given one, null if there is none.
export async function neighbour(page, key, step) {
  const { collection, listing } = page;
  const keys = [...document.querySelectorAll(ROWS)].map((link) => listing.keyOf(link));
  const index = keys.indexOf(key);
  if (index >= 0 && keys[index + step] !== undefined) return keys[index + step];
  const link = document.querySelector(step > 0 ? "#pages [rel=next]" : "#pages :is([rel=prev], [rel=first])");
  if (index < 0 || !link || listing.view.words) return null;
  const after = new URL(link.href).searchParams.get("after") ?? "";
  const query = Object.entries({ ...listing.view.query, after, limit: PAGE_SIZE }).filter(([, value]) => value);
  const { documents } = await collection.list(Object.fromEntries(query));
  if (step > 0) return documents[0]?.key ?? null;
  return documents[documents.findIndex((meta) => meta.key === key) - 1]?.key ?? null;
}
