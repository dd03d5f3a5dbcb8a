// Notes on what has no answer yet. The server keeps a note beside an answer alone, so until there
// is one this browser keeps it.

import { parsed } from "./outbox.js";

export class Drafts {
  constructor(store) {
    this.store = store;
  }

  of(id) {
    return this.all()[id] ?? "";
  }

  keep(id, text) {
    const { [id]: _, ...others } = this.all();
    const all = text ? { ...others, [id]: text } : others;
    try {
      if (Object.keys(all).length) localStorage.setItem(this.store, JSON.stringify(all));
      else localStorage.removeItem(this.store);
    } catch {
      // A browser that stores nothing still shows what is written.
    }
  }

  all() {
    try {
      return parsed(localStorage.getItem(this.store)) ?? {};
    } catch {
      return {};
    }
  }
}
