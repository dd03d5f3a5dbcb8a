// A slide: opinions of its images and of the whole, by mouse and by keyboard, kept until they have
// arrived. Without this module its forms post one by one.

import { Deeds } from "./deeds.js";
import { Drafts } from "./drafts.js";
import { listen } from "./keys.js";
import { ask, Outbox, parsed, token } from "./outbox.js";
import { refresh } from "./refresh.js";
import { gettext } from "./words.js";
import { noteIn, press, showSaid, whenLeft } from "./writing.js";

const results = document.getElementById("results");
const reading = document.querySelector("[data-reading]");
const viewer = document.getElementById("viewer");
const bar = document.querySelector("[data-unsent]");
const { who, slide } = bar.dataset;
const LABELS = { 1: "parasitized", 2: "uninfected", 3: "cannot-tell" };
const NEEDS = ":is(.parasitized, .uncertain):has(button[name=label]):not(:has([data-other])):not(:has(button[aria-pressed=true]))";

const outbox = new Outbox({
  store: `unsent:${who}:${slide}`,
  post,
  about: ({ image, fields }) => image ?? (fields && "whole"),
  told,
});
const drafts = new Drafts(`notes:${who}:${slide}`);
const deeds = new Deeds(({ image }, word) => (image ? tell(image, word) : write(word)));
let chosen = null; // the id of the card that keys are about

// Saying

function post({ image, fields, label, comment, seen }) {
  const body = new URLSearchParams(fields ?? (label ? { label, comment, seen } : {}));
  const form = fields ? reading : document.querySelector(`#image-${image} form${label ? "[data-opinion]" : "[data-take-back]"}`);
  const address = form?.action ?? (fields ? `/slides/${slide}/reading/` : `/images/${image}/review/${label ? "" : "undo/"}`);
  const headers = { "X-CSRFToken": token(document), ...(fields ? { Accept: "application/json" } : { "HX-Request": "true" }) };
  return ask(address, { method: "POST", body, who, headers }, (text) => isOurs(text) && text);
}

// What stands between us and the server may answer in its place.
function isOurs(text) {
  return text.includes('id="image-') || "kept" in (parsed(text) ?? {});
}

function told({ answer, refusal, item, elsewhere }) {
  if (answer && item.image) take(answer, item);
  else if (answer) takeConclusion(parsed(answer), item.fields);
  if (refusal) refused(refusal, item);
  show();
  if (elsewhere && !outbox.items.length) location.reload();
}

function refused(refusal, { fields, image, comment }) {
  say(gettext("Not kept: %(refusal)s", { refusal }));
  if (fields) return putBack(fields);
  if (comment) drafts.keep(image, comment);
  unmark(image);
}

// As the server has it, with the words that it did not keep.
function putBack({ comment }) {
  drafts.keep("whole", comment);
  if (reading) check(reading.dataset.conclusion);
}

// What is said of the whole slide stands in its list, in the verdict and in the report; once it is
// closed, all of the page is another.
function takeConclusion({ html }, { conclusion, comment }) {
  if (!html || !reading) return leave();
  Object.assign(reading.dataset, { conclusion, comment });
  document.getElementById("concluded").outerHTML = html;
  say(gettext("Kept."));
  refresh();
}

// Nothing waits any more, so the page may be loaded anew.
function leave() {
  if (outbox.items.length) return show();
  location.hash = "reading";
  location.reload();
}

// The card, and what is counted above it. A card in which somebody writes stays until they leave it.
function take(html, { image, label, comment }) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const parts = [...template.content.children];
  const note = noteIn(card(image));
  if (!note) return swap(parts);
  const isCard = ({ id }) => id === card(image).id;
  Object.assign(note.form.dataset, { label, comment });
  whenLeft(note, () => swap(parts.filter(isCard)));
  swap(parts.filter((part) => !isCard(part)));
}

function swap(parts) {
  const focused = document.activeElement;
  const inside = focused?.closest("#cells .cell")?.id;
  for (const now of parts) {
    const before = document.getElementById(now.id);
    if (now.id === "announcement") before.textContent = now.textContent;
    else if (before) before.replaceWith(now);
    now.removeAttribute("hx-swap-oob");
    htmx.process(now);
  }
  if (document.querySelector("#results.htmx-request")) refresh(); // it was asked before this
  if (inside && !focused.isConnected) (document.getElementById(focused.id) ?? document.getElementById(inside)?.querySelector(".photo"))?.focus();
  document.dispatchEvent(new Event("htmx:after:swap"));
}

function tell(image, { label, comment }) {
  const seen = card(image)?.querySelector("[name=seen]")?.value ?? "";
  outbox.add({ image, label, comment, seen });
}

function opine(image, word) {
  const before = standing(image);
  if (before.label === word.label && before.comment === word.comment) return;
  say("");
  deeds.add({ image, before, after: word });
  if (word.label) drafts.keep(image, "");
  tell(image, word);
}

// What this person says of it, with what the server has not heard yet.
function standing(image) {
  const unsent = outbox.items.findLast((item) => item.image === image);
  if (unsent) return { label: unsent.label, comment: unsent.comment };
  const { label = "", comment = "" } = card(image)?.querySelector("[data-opinion]")?.dataset ?? {};
  return { label, comment };
}

// Showing

const card = (image) => document.getElementById(`image-${image}`);
const copies = (image) => document.querySelectorAll(`[data-opinion="${image}"]`);

function show() {
  for (const item of outbox.items) for (const form of copies(item.image)) showUnsent(form, item);
  for (const [image, text] of Object.entries(drafts.all())) for (const form of copies(image)) showDraft(form, text);
  bar.hidden = !outbox.words;
  bar.querySelector("[data-unsent-text]").textContent = outbox.words;
}

function showUnsent(form, item) {
  showSaid(form, item);
  form.dataset.unsent = "";
}

// What was written before there is an answer, unless it is being written just now.
function showDraft(form, text) {
  const input = form.elements.comment;
  if (input === document.activeElement || form.dataset.label) return;
  input.value = text;
  form.querySelector(".note").open = true;
}

function unmark(image) {
  for (const form of copies(image)) {
    press(form, form.dataset.label);
    delete form.dataset.unsent;
  }
}

function say(text) {
  document.querySelector("[data-say]").textContent = text;
}

// Forms, in the cards and in their copies beside a large image

document.addEventListener("submit", (event) => {
  const form = event.target;
  const image = form.dataset.opinion ?? form.dataset.takeBack;
  if (image) {
    event.preventDefault();
    if (form.dataset.takeBack) return opine(image, { label: "", comment: "" });
    if (event.submitter?.value) opine(image, { label: event.submitter.value, comment: form.elements.comment.value.trim() });
  } else if (form === reading) {
    event.preventDefault();
    if (event.submitter?.name === "conclusion") clear();
    else conclude(event.submitter?.name === "close");
  }
});

document.addEventListener("change", ({ target }) => {
  const image = target.name === "comment" && target.form.dataset.opinion;
  if (image) keepNote(image, target.value.trim());
  else if (target.form === reading) conclude(false);
});

document.addEventListener("input", ({ target }) => {
  if (target === reading?.elements.comment) return drafts.keep("whole", target.value);
  const image = target.name === "comment" && target.form.dataset.opinion;
  if (!image || standing(image).label) return;
  drafts.keep(image, target.value.trim());
  show();
});

function keepNote(image, comment) {
  if (standing(image).label) opine(image, { ...standing(image), comment });
  else if (comment) say(gettext("The note is kept in this browser alone, until you say what the image shows."));
}

function conclude(close) {
  const { conclusion = "", comment } = Object.fromEntries(new FormData(reading));
  const before = concluded();
  const after = { conclusion, comment: comment.trim() };
  drafts.keep("whole", "");
  const isNew = before.conclusion !== after.conclusion || before.comment !== after.comment;
  if (isNew) deeds.add({ before, after });
  if (isNew || close) tellWhole({ ...after, ...(close ? { close: "yes" } : {}) });
}

// What this person says of the whole slide, with what the server has not heard yet.
function concluded() {
  const { conclusion, comment } = outbox.items.findLast((item) => item.fields)?.fields ?? reading.dataset;
  return { conclusion, comment };
}

function tellWhole(fields) {
  check(fields.conclusion);
  outbox.add({ fields });
}

function clear() {
  for (const choice of reading.querySelectorAll("[type=radio]")) choice.checked = false;
  conclude(false);
}

function write(word) {
  reading.elements.comment.value = word.comment;
  drafts.keep("whole", "");
  tellWhole(word);
}

function check(conclusion) {
  for (const choice of reading.querySelectorAll("[type=radio]")) choice.checked = choice.value === conclusion;
  reading.querySelector("[data-no-conclusion]").hidden = !conclusion;
}

// Choosing

const cards = () => [...document.querySelectorAll("#cells .cell")];

function current() {
  if (viewer.open) return document.getElementById(viewer.dataset.of);
  return document.activeElement?.closest("#cells .cell") ?? document.getElementById(chosen);
}

function choose(found) {
  if (!found) return;
  if (viewer.open) return viewer.dispatchEvent(new CustomEvent("view", { detail: found }));
  chosen = found.id;
  found.querySelector(".photo").focus();
}

function step(by) {
  const list = cards();
  const here = list.indexOf(current());
  choose(list[here < 0 ? 0 : here + by]);
}

// Round and round, from the chosen one on.
function stepToNeed(by) {
  const list = cards();
  const here = Math.max(list.indexOf(current()), by < 0 ? 0 : -1);
  const found = list.map((_, count) => list.at((here + by * (count + 1)) % list.length)).find((one) => one.matches(NEEDS));
  if (found) choose(found);
  else say(gettext("No image here needs a person now."));
}

function act(name) {
  return () => current()?.querySelector(name)?.click();
}

function label(word) {
  return () => {
    const form = (viewer.open ? viewer : current())?.querySelector("[data-opinion]");
    const button = form && (word ? form.querySelector(`[value=${word}]`) : form.querySelector("[name=label]"));
    if (button && (word || button.dataset.agrees !== undefined)) button.click();
  };
}

// By key: the button for it is there only once the server has answered.
function takeBack() {
  const image = (viewer.open ? viewer : current())?.querySelector("[data-opinion]")?.dataset.opinion;
  if (image && standing(image).label) opine(image, { label: "", comment: "" });
}

function note() {
  const details = (viewer.open ? viewer : current())?.querySelector(".note");
  if (!details) return;
  details.open = true;
  details.querySelector("input").focus();
}

function undo(how) {
  const deed = deeds[how]();
  if (!deed) return say(how === "undo" ? gettext("There is nothing to undo.") : gettext("There is nothing to do again."));
  if (deed.image) choose(card(deed.image));
  else toReading();
}

const go = (selector) => () => document.querySelector(selector)?.click();

function toReading() {
  const section = document.getElementById("reading");
  section?.scrollIntoView({ block: "nearest" });
  section?.querySelector("input:checked, [type=radio], select, a")?.focus();
}

listen(
  [
    [gettext("Next and previous image that needs a person"), { n: () => stepToNeed(1), p: () => stepToNeed(-1) }],
    [gettext("Next and previous image"), { j: () => step(1), k: () => step(-1) }],
    [gettext("Parasitized, uninfected, cannot tell"), Object.fromEntries(Object.entries(LABELS).map(([key, word]) => [key, label(word)]))],
    [gettext("Agree with the model"), { a: label("") }],
    [gettext("Set the whole field aside, or count it all the same"), { x: act("[data-other]") }],
    [gettext("Write a note on the image"), { c: note }],
    [gettext("Take back what you said of the image"), { Delete: takeBack }],
    [gettext("Undo, and do again"), { z: () => undo("undo"), y: () => undo("redo") }],
    [gettext("See the image large, or open the field"), { o: () => current()?.querySelector(".photo").click() }],
    [gettext("Heatmap of the image, of all images"), { h: act("[data-heat]"), m: go("[data-heat-all]") }],
    [gettext("First field with cells to look at"), { f: go("#verdict a[href*='/field/']") }],
    [gettext("Conclude of the whole slide, or settle where readings differ"), { w: toReading }],
    [gettext("Sign or amend the report"), { s: go("#report a.button") }],
    [gettext("Add images"), { i: () => document.getElementById("files").focus() }],
    [gettext("Next slide that needs you"), { g: go("[data-next-slide]") }],
    [gettext("All keys"), { "?": null }],
  ],
  // The large image has these keys itself.
  (event) => (viewer.open && event.key.toLowerCase() === "h" ? () => {} : null),
);

results.addEventListener("focusin", ({ target }) => (chosen = target.closest(".cell")?.id ?? chosen));
bar.querySelector("[data-again]").addEventListener("click", () => outbox.send());
for (const done of ["htmx:after:swap", "viewed"]) document.addEventListener(done, show);
if (reading) {
  check(concluded().conclusion);
  reading.elements.comment.value = drafts.of("whole") || concluded().comment;
}
show();
outbox.send();
