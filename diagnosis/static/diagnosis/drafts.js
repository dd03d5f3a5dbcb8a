// Notes on what has no answer yet. The server keeps a note beside an answer alone, so until there
// is one this browser keeps it.

import { parsed, store } from "./outbox.js";

export class Drafts {
  constructor(store) {
    this.store = store;
  }

  of(id) {
    return this.all()[id] ?? "";
  }

  keep(id, text) {
    const { [id]: _, ...others } = this.all();
    store(this.store, text ? { ...others, [id]: text } : others);
  }

  all() {
    try {
      return parsed(localStorage.getItem(this.store)) ?? {};
    } catch {
      return {};
    }
  }
}
