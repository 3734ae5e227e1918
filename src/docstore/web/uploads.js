// Files on their way into the collection: three at once, the rest waits. Nothing is replaced unasked: each is sent for
// a free key, and only the answer to a question sends it for the version that the question was about.

import { button, element, field, input, openDialog, question, say } from "./elements.js";
import { size, span } from "./figures.js";
import { fits, numbered, propose } from "./keys.js";
import { etagOf, now } from "./store.js";

const AT_ONCE = 3;
const MOST = 100_000;
const SHOWN = 50;
const LARGE = 2 ** 20;
const TYPES = { md: "text/markdown", txt: "text/plain", log: "text/plain", json: "application/json", csv: "text/csv",
  yaml: "application/yaml", yml: "application/yaml", toml: "application/toml", py: "text/x-python", sh: "text/x-sh" };
const typeOf = (file) => file.type || TYPES[file.name.split(".").at(-1).toLowerCase()] || "application/octet-stream";

// Pairs of path and what gives the file. A drop may hold folders; a file in them is opened when its turn comes.
async function* found(entries, folder = "") {
  for (const entry of entries) {
    if (entry instanceof File) yield [entry.webkitRelativePath || entry.name, async () => entry];
    else if (entry.isFile) yield [folder + entry.name, () => new Promise((resolve, reject) => entry.file(resolve, reject))];
    else {
      const reader = entry.createReader();
      const next = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      for (let batch = await next(); batch.length; batch = await next()) yield* found(batch, `${folder}${entry.name}/`);
    }
  }
}

export class Uploads {
  #waiting = [];
  #active = new Set();
  #failed = [];
  #asking = Promise.resolve();
  #always = null;
  #stored = 0;
  #all = 0;

  constructor(page) {
    this.page = page;
    this.told = element("b", {});
    this.list = element("ul", {});
    this.stop = button("Cancel all", () => this.#end());
    this.box = element("section", { id: "uploads", "aria-label": "Uploads", hidden: true }, element("p", {}, this.told, this.stop), this.list);
    document.querySelector("main").append(this.box);
    addEventListener("beforeunload", (event) => this.#active.size && event.preventDefault());
  }

  // `entries` are Files, or what a drop holds.
  async add(entries) {
    const jobs = [];
    const taken = new Set();
    const folder = this.page.listing.folder;
    for await (const [path, open] of found(entries)) {
      if (jobs.length === MOST) {
        say(`Only the first ${MOST} files are taken.`);
        break;
      }
      let key = propose(this.page.rule, folder + path);
      for (let number = 2; taken.has(key); number += 1) key = numbered(this.page.rule, propose(this.page.rule, folder + path), number);
      taken.add(key);
      jobs.push({ path, key, open, changed: key !== folder + path });
    }
    if (!jobs.length || !(await this.#name(jobs.filter((job) => job.changed)))) return;
    if (!this.#active.size) [this.#stored, this.#all, this.#always, this.#failed] = [0, 0, null, []];
    this.#all += jobs.length;
    this.#waiting.push(...jobs);
    this.#next();
  }

  // Shows the keys that differ from the names of files, to be corrected.
  #name(jobs) {
    if (!jobs.length) return true;
    return new Promise((resolve) => {
      let agreed = false;
      const controls = jobs.slice(0, SHOWN).map((job) => [job, input({ value: job.key })]);
      const more = jobs.length > SHOWN ? element("p", {}, `And ${jobs.length - SHOWN} more in the same way.`) : null;
      const made = element("form", { onsubmit: (event) => {
        event.preventDefault();
        const wrong = controls.find(([, control]) => !fits(this.page.rule, control.value));
        if (wrong) {
          dialog.wrong(`"${wrong[1].value}" is no key here.`);
          return wrong[1].focus();
        }
        for (const [job, control] of controls) job.key = control.value;
        agreed = true;
        dialog.close();
      } }, ...controls.map(([job, control]) => field(job.path, control)), more, element("p", { class: "buttons" },
        element("button", { class: "primary", autofocus: true }, "Upload"), button("Cancel", () => dialog.close())));
      const dialog = openDialog("Keys for these files", { onclose: () => resolve(agreed) },
        element("p", {}, "Their names are no keys of this mount. These would be:"), made);
    });
  }

  #next() {
    while (this.#active.size < AT_ONCE && this.#waiting.length) this.#run(this.#waiting.shift());
    this.#show();
    if (this.#active.size) return;
    this.page.changed();
    say(this.told.textContent);
  }

  async #run(job) {
    const control = new AbortController();
    const bar = element("progress", { "aria-label": `Upload of ${job.key}` });
    const name = element("bdi", {}, job.key);
    const line = element("li", {}, name, bar, button("Cancel", () => control.abort(), { "aria-label": `Cancel ${job.key}` }));
    Object.assign(job, { control, line, name, progress: (sent, all) => Object.assign(bar, { max: all || 1, value: all ? sent : 1 }) });
    this.#active.add(job);
    this.#show();
    try {
      if (await this.#store(job, await job.open())) this.#stored += 1;
    } catch (error) {
      if (!control.signal.aborted) this.#fail(job, error);
    }
    this.#active.delete(job);
    this.#next();
  }

  // Whether it was stored.
  async #store(job, file) {
    const { collection, rule } = this.page;
    const headers = { "Content-Type": typeOf(file) };
    const options = { signal: job.control.signal, progress: job.progress };
    const wanted = job.key;
    let expect = null;
    for (let number = 2; ; ) {
      try {
        // A large file is not sent only to be refused at its end.
        const there = file.size > LARGE && expect === null ? await collection.describe(job.key) : null;
        if (!there) return await collection.put(job.key, file, headers, expect, options);
      } catch (error) {
        if (error.status === 0) await file.slice(0, 1).arrayBuffer();
        if (error.status !== 412) throw error;
      }
      const meta = await collection.describe(job.key);
      const answer = meta ? await this.#decide(job, file, meta) : "again";
      if (answer === "skip") return false;
      expect = answer === "replace" ? etagOf(meta) : null;
      if (answer === "both") {
        job.key = numbered(rule, wanted, number);
        job.name.textContent = job.key;
        number += 1;
      }
    }
  }

  // One question at a time.
  #decide(job, file, meta) {
    const answer = this.#asking.then(async () => {
      if (job.control.signal.aborted) throw job.control.signal.reason;
      if (this.#always) return this.#always;
      const all = element("input", { type: "checkbox" });
      const age = span(Math.floor((now() - Date.parse(meta.modified)) / 1000));
      const answers = [["both", "Keep both"], ["replace", "Replace", "danger"], ["skip", "Skip"]];
      const given = await question(`There is a document ${meta.key}`, answers, "skip",
        element("p", {}, `It has ${size(meta.size)} and is of the type ${meta.media_type}; age: ${age}. The file has ${size(file.size)}.`),
        element("p", {}, element("label", {}, all, " Do the same with all that follow")));
      if (all.checked) this.#always = given;
      return given;
    });
    this.#asking = answer.catch(() => {});
    return answer;
  }

  #fail(job, error) {
    const text = error.name === "NotReadableError" || error.name === "NotFoundError" ? "The file can't be read (any more)." : error.message;
    const again = button("Try again", () => {
      this.#failed = this.#failed.filter((one) => one !== job);
      this.#waiting.push(job);
      this.#next();
    }, { "aria-label": `Try ${job.key} again` });
    job.line = element("li", { class: "alert" }, element("bdi", {}, job.key), element("span", {}, text), again);
    this.#failed.push(job);
    say(`${job.key}: ${text}`);
  }

  #end() {
    if (!this.#active.size) {
      this.#failed = [];
      this.box.hidden = true;
      return document.querySelector("#search").focus();
    }
    this.#all -= this.#waiting.length;
    this.#waiting = [];
    for (const job of this.#active) job.control.abort();
  }

  #show() {
    const busy = this.#active.size > 0;
    this.box.hidden = false;
    this.told.textContent = `${this.#stored} of ${this.#all} stored${this.#failed.length ? `, ${this.#failed.length} failed` : ""}`;
    this.stop.textContent = busy ? "Cancel all" : "Close";
    const lines = [...this.#active, ...this.#failed.slice(0, SHOWN)].map((job) => job.line);
    if (lines.length !== this.list.children.length || lines.some((line, index) => line !== this.list.children[index])) this.list.replaceChildren(...lines);
  }
}
