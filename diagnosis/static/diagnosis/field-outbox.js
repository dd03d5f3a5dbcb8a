// Opinions on their way to the server, one after the other.
//
// An opinion stays here until the server has answered: on the page, and in the browser's store,
// where a reload finds it again. A refusal takes it out; a lost connection does not.

const PAUSES = [1_000, 2_000, 5_000, 15_000]; // ms until the next try
const SILENCE = 30_000; // ms without an answer before a request counts as lost
const TRANSIENT = [401, 408, 429];

export class Outbox {
  // `store` names this person's opinions of this image; `told` hears of every change.
  constructor({ address, store, token, told }) {
    Object.assign(this, { address, store, token, told });
    this.items = kept(store);
    this.trouble = "";
    this.tries = 0;
    addEventListener("online", () => this.send());
  }

  // Of one cell only the last word counts, unless the one before is already under way.
  add(item) {
    const replaced = (other) => item.cell && other.cell === item.cell && !other.sending;
    this.items = this.items.filter((other) => !replaced(other));
    this.items.push({ ...item, key: newKey() });
    this.keep();
    this.told({});
    this.send();
  }

  // A cell that was drawn and not sent yet can still be changed or dropped.
  change(key, label) {
    const item = this.items.find((other) => other.key === key);
    if (!item || item.sending) return false;
    if (label && label !== "no-cell") item.label = label;
    else this.items = this.items.filter((other) => other !== item);
    this.keep();
    this.told({});
    return true;
  }

  keep() {
    const plain = this.items.map(({ sending, ...item }) => item);
    try {
      if (plain.length) localStorage.setItem(this.store, JSON.stringify(plain));
      else localStorage.removeItem(this.store);
    } catch {
      // A browser that stores nothing still sends them.
    }
  }

  async send() {
    const item = this.items[0];
    if (!item || this.items.some((other) => other.sending)) return;
    clearTimeout(this.timer);
    item.sending = true;
    const outcome = await this.post(item);
    item.sending = false;
    if (outcome.trouble) return this.wait(outcome.trouble, item);
    this.tries = 0;
    this.trouble = "";
    this.items = this.items.filter((other) => other !== item);
    this.keep();
    this.told({ ...outcome, item });
    this.send();
  }

  wait(trouble, item) {
    item.tried = true;
    this.trouble = trouble;
    this.timer = setTimeout(() => this.send(), PAUSES[Math.min(this.tries++, PAUSES.length - 1)]);
    this.keep();
    this.told({});
  }

  async post(item) {
    try {
      // The box may have arrived although its answer was lost: it must not be added twice.
      const before = item.box && item.tried ? await this.ask() : null;
      if (before?.answer?.cells.some((cell) => isSame(cell, item))) return before;
      const body = item.box ? { box: item.box, label: item.label } : { cell: item.cell, label: item.label };
      const headers = { "Content-Type": "application/json", "X-CSRFToken": this.token() };
      return await this.ask({ method: "POST", body: JSON.stringify(body), headers });
    } catch {
      return { trouble: "The connection is lost." };
    }
  }

  // { answer } | { refusal } | { trouble }; throws where nothing came back.
  async ask({ headers, ...options } = {}) {
    const signal = AbortSignal.timeout(SILENCE);
    const response = await fetch(this.address, { ...options, signal, headers: { Accept: "application/json", ...headers } });
    const answer = parsed(await response.text());
    if (response.ok && answer?.cells) return { answer };
    if (response.status === 401) return { trouble: "You are signed out: sign in in another tab." };
    const isRefusal = response.status >= 400 && response.status < 500 && !TRANSIENT.includes(response.status);
    if (isRefusal && answer?.error) return { refusal: answer.error };
    if (response.status === 404) return { refusal: "This image is no longer here." };
    return { trouble: "The server could not take it just now." };
  }
}

function isSame(cell, item) {
  return cell.by === "person" && cell.box.every((value, index) => value === item.box[index]);
}

function newKey() {
  return `new-${Date.now()}-${Math.random().toString(36).slice(2, 8)}`;
}

function kept(store) {
  const items = parsed(readStore(store));
  return Array.isArray(items) ? items : [];
}

function readStore(store) {
  try {
    return localStorage.getItem(store);
  } catch {
    return null;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
