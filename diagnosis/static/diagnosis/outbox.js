// Opinions on their way to the server, one after the other.
//
// An opinion stays here until the server has answered: on the page, and in the browser's store,
// where a reload finds it again. A refusal takes it out; a lost connection does not.

import { gettext, ngettext } from "./words.js";

const PAUSES = [1_000, 2_000, 5_000, 15_000]; // ms until the next try
const SILENCE = 30_000; // ms without an answer before a request counts as lost
const TRANSIENT = [401, 408, 429];

export const LOST = { trouble: gettext("The connection is lost.") };

export class Outbox {
  // `store` names this person's opinions of this page; `post` sends one and gives its outcome,
  // { answer } | { refusal } | { trouble }; `about` says what an opinion is of, where a later one
  // of the same replaces it; `told` hears of every change.
  constructor({ store, post, about, told }) {
    Object.assign(this, { store, post, about, told });
    this.items = keptOf(store).map((item) => ({ ...item, stored: true }));
    this.over = new Set(); // keys of what is not to be sent again, whatever another tab stored
    this.trouble = "";
    this.tries = 0;
    addEventListener("online", () => this.send());
    for (const shown of ["storage", "pageshow"]) addEventListener(shown, () => this.lookElsewhere());
    addEventListener("beforeunload", (event) => this.items.length && event.preventDefault());
  }

  // Of one thing only the last word counts, unless the one before is already under way.
  add(item) {
    const of = this.about(item);
    this.drop((other) => of && this.about(other) === of && !other.sending);
    this.items.push({ ...item, key: newKey(), at: location.pathname, title: document.title.split(" · ").slice(0, -1).join(" · ") });
    this.keep();
    this.told({});
    this.send();
  }

  // What another tab has sent, or replaced, is not said again.
  forget() {
    const stored = new Set(keptOf(this.store).map(({ key }) => key));
    const before = this.items.length;
    this.drop((item) => item.stored && !stored.has(item.key));
    return this.items.length < before;
  }

  lookElsewhere() {
    if (this.forget()) this.told({ elsewhere: true });
  }

  drop(goes) {
    for (const item of this.items.filter(goes)) this.over.add(item.key);
    this.items = this.items.filter((item) => !this.over.has(item.key));
  }

  // What another tab keeps there stays.
  keep() {
    this.lookElsewhere();
    const own = this.items.map(({ sending, stored, ...item }) => item);
    const keys = new Set([...this.over, ...own.map((item) => item.key)]);
    const all = [...keptOf(this.store).filter((item) => !keys.has(item.key)), ...own];
    if (store(this.store, all)) for (const item of this.items) item.stored = true;
  }

  async send() {
    if (this.items.some((item) => item.sending)) return;
    this.lookElsewhere();
    const [item] = this.items;
    if (!item) return;
    clearTimeout(this.timer);
    item.sending = true;
    const outcome = await alone(this.store, () => this.deliver(item)).catch(() => LOST);
    item.sending = false;
    if (outcome.trouble) return this.wait(outcome.trouble, item);
    this.tries = 0;
    this.trouble = "";
    this.drop((other) => other === item);
    this.keep();
    this.told({ ...outcome, item });
    this.send();
  }

  async deliver(item) {
    this.forget();
    return this.items.includes(item) ? this.post(item) : { elsewhere: true };
  }

  wait(trouble, item) {
    item.tried = true;
    this.trouble = trouble;
    this.timer = setTimeout(() => this.send(), PAUSES[Math.min(this.tries++, PAUSES.length - 1)]);
    this.keep();
    this.told({});
  }

  // In words, while there is trouble; empty otherwise.
  get words() {
    const number = this.items.length;
    if (!this.trouble || !number) return "";
    const sentence = ngettext(
      "%(number)s opinion is kept on this computer and sent when it is possible again.",
      "%(number)s opinions are kept on this computer and sent when it is possible again.",
      number,
    );
    return `${this.trouble} ${sentence}`;
  }
}

// One tab after the other, where the browser lets them agree on it: not on plain HTTP.
function alone(name, act) {
  return navigator.locks ? navigator.locks.request(name, act) : act();
}

// The server's answer, or why there is none; throws where nothing came back.
export async function ask(address, { who, headers, ...options }, understood) {
  const signal = AbortSignal.timeout(SILENCE);
  const response = await fetch(address, { ...options, signal, headers: { "X-Person": who, ...headers } });
  const text = await response.text();
  const answer = response.ok && !response.redirected && understood(text);
  if (answer) return { answer };
  // Whose page is out of date loses nothing by it, nor who is asked for a second factor first.
  const { error, waits } = parsed(text) ?? {};
  if (waits) return { trouble: error };
  if (response.status === 403 && !error) return { trouble: gettext("You may not do this, or the page is out of date: load it again.") };
  if (response.status === 401) return { trouble: gettext("You are signed out: sign in in another tab.") };
  const isRefusal = response.status >= 400 && response.status < 500 && !TRANSIENT.includes(response.status);
  return isRefusal ? { refusal: whyNot(response, text) } : { trouble: gettext("The server could not take it just now.") };
}

function whyNot({ status }, text) {
  const said = parsed(text)?.error ?? (text.length < 300 && !text.includes("<") && text);
  if (said) return said;
  return status === 404 ? gettext("This is no longer here.") : gettext("The server did not understand it.");
}

// A sign-in in another tab renews it; the cookie always has the present one.
export function token(within) {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? within.querySelector("[name=csrfmiddlewaretoken]").value;
}

export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function newKey() {
  return `new-${Date.now()}-${Math.random().toString(36).slice(2, 8)}`;
}

// An empty list or object is not kept. A browser that stores nothing still sends and shows it.
export function store(name, value) {
  try {
    if (Object.keys(value).length) localStorage.setItem(name, JSON.stringify(value));
    else localStorage.removeItem(name);
    return true;
  } catch {
    return false;
  }
}

// What is stored under that name.
export function keptOf(store) {
  try {
    const items = parsed(localStorage.getItem(store));
    return Array.isArray(items) ? items : [];
  } catch {
    return [];
  }
}
