// A whole field: its boxes, a strip of its cells, one cell large, and what a person says of them.
//
// `heard` is the server's last answer; what was said since waits in the outbox. Everything on the
// page is drawn from the two together, so a refusal rolls back by itself.

import { Deeds } from "./deeds.js";
import { Drafts } from "./drafts.js";
import { Boxes } from "./field-boxes.js";
import { Card } from "./field-card.js";
import { countGroups, isShown, medianSide, needsPerson, shown, withUnsent, word } from "./field-cells.js";
import { Draft } from "./field-draft.js";
import { isDropped, Server } from "./field-server.js";
import { Strip } from "./field-strip.js";
import { View } from "./field-view.js";
import { listen } from "./keys.js";
import { Outbox } from "./outbox.js";
import { gettext, ngettext } from "./words.js";
import { showSaid } from "./writing.js";

const ASK_AGAIN = 2_000; // ms, while the field is being read
const LABELS = ["parasitized", "uninfected", "cannot-tell", "no-cell"]; // keys 1 to 4
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const page = document.getElementById("field");
const part = (name) => page.querySelector(`[data-${name}]`);
const { cells: address, photo, icons, mayReview, who, name } = page.dataset;
const size = { width: Number(page.dataset.width), height: Number(page.dataset.height) };
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const canReview = mayReview === "yes";
const wholeField = () => document.getElementById("field-opinion");

let heard = { cells: [], image: {} };
let cells = [];
let group = "all";
let selected = null;
let wanted = Number(new URLSearchParams(location.search).get("cell")); // a link led to it

const view = new View(part("view"), { url: photo, ...size, calm, label: gettext("%(name)s: arrow keys move it, plus and minus zoom", { name }) });
const boxes = new Boxes(view);
const draft = new Draft(view, boxes, showDraft);
const strip = new Strip(part("strip"), icons, (id) => select(id));
const drafts = new Drafts(`notes:${who}:${address}`);
const card = new Card(part("card"), { icons, photo: strip.photo, drafts });
const server = new Server({ address, who, page });
const outbox = new Outbox({ store: `unsent:${who}:${address}`, post: (item) => server.tell(item), about: ({ cell, whole }) => cell ?? (whole && "whole"), told });
const deeds = new Deeds((deed, word) => (deed.box && word.label && !find(deed.id) ? addBox(deed, word) : tell(deed.id, word)));

// Hearing

async function ask() {
  const before = heard;
  try {
    const { answer, trouble, refusal } = await server.ask({ headers: { "X-By-Itself": "yes" } });
    if (answer && heard !== before) return ask(); // it may be older than what was heard meanwhile
    if (answer) return told({ answer });
    say(refusal ?? trouble);
    if (refusal) return;
  } catch {
    say(gettext("The connection is lost. This page goes on by itself when it is back."));
  }
  askSoon();
}

let due = 0;
function askSoon() {
  clearTimeout(due);
  due = setTimeout(ask, ASK_AGAIN);
}

function told({ answer, refusal, item, elsewhere }) {
  if (answer?.whole) hearWhole(answer.whole);
  else if (answer) hear(answer, item);
  if (refusal) say(gettext("Not kept: %(refusal)s", { refusal }));
  if (refusal && item?.whole) showWholeAnew(item);
  if (refusal && item?.cell && item.comment) drafts.keep(item.cell, item.comment);
  show();
  if (elsewhere) ask();
  if (wanted && find(wanted)) {
    select(wanted);
    wanted = null;
  }
}

function hear(answer, item) {
  heard = answer;
  if (item?.box) follow(item);
  part("verdict").innerHTML = answer.verdict_html;
  if (answer.field_html) showWholeField(answer.field_html);
  const headline = part("verdict").querySelector(".verdict-line");
  part("headline").textContent = headline?.textContent.trim() ?? "";
  if (["queued", "running"].includes(answer.image.state)) askSoon();
  if (part("say").textContent && !item) say("");
}

// Once it is read: the page may have been opened before.
function showWholeField(html) {
  if (!wholeField().children.length) wholeField().outerHTML = html;
}

function hearWhole(html) {
  putWhole(html);
  ask();
}

function putWhole(html) {
  const focused = wholeField().contains(document.activeElement) && document.activeElement.id;
  wholeField().outerHTML = html;
  if (focused) (document.getElementById(focused) ?? wholeField().querySelector("button[aria-pressed]"))?.focus();
}

// As the server has it, with the note that it did not keep.
async function showWholeAnew({ comment }) {
  const { answer } = await server.ask();
  if (!answer?.field_html) return;
  putWhole(answer.field_html);
  const note = wholeField().querySelector("[name=comment]");
  if (note) note.value = comment;
}

// A cell that was added gets the server's id; the selection and what can be undone go with it.
function follow({ key, box }) {
  const found = heard.cells.findLast((cell) => cell.by === "person" && String(cell.box) === String(box));
  if (!found) return;
  if (selected === key) selected = found.id;
  if (part("comment").dataset.of === key) part("comment").dataset.of = found.id;
  drafts.keep(found.id, drafts.of(key));
  drafts.keep(key, "");
  for (const deed of deeds.all) if (deed.id === key) deed.id = found.id;
}

// Showing

function show() {
  cells = withUnsent(heard.cells, outbox.items);
  const counts = countGroups(cells);
  for (const chip of page.querySelectorAll("[data-group]")) showChip(chip, counts);
  showNeed();
  boxes.show({ cells, group, selected });
  strip.show(listed(), selected);
  if (!draft.isOn) card.show(find(selected), cells.length);
  part("empty").hidden = !part("strip").hidden;
  part("empty").textContent = whyEmpty();
  part("undo").disabled = !deeds.done.length;
  part("redo").disabled = !deeds.undone.length;
  showUnsent();
  announce(counts);
}

function showChip(chip, counts) {
  chip.setAttribute("aria-pressed", chip.dataset.group === group);
  chip.querySelector(".count").textContent = counts[chip.dataset.group];
  if (chip.dataset.group === "removed") chip.hidden = !counts.removed && group !== "removed";
}

function showNeed() {
  const number = cells.filter(needsPerson).length;
  part("need").textContent = number ? ngettext("%(number)s needs a person", "%(number)s need a person", number) : gettext("None needs a person");
  for (const button of [part("need-next"), part("need-previous")]) button.disabled = !number;
}

function whyEmpty() {
  if (!heard.image.state) return gettext("The cells are being fetched.");
  if (["queued", "running"].includes(heard.image.state)) return gettext("This field is being read. The cells appear here by themselves.");
  if (heard.image.state === "failed") return gettext("This field could not be read.");
  return group === "all" ? gettext("No red cell was found in this photograph.") : gettext("No cell is %(answer)s.", { answer: word(group).toLowerCase() });
}

function showUnsent() {
  part("unsent").hidden = !outbox.words;
  part("unsent-text").textContent = outbox.words;
  const whole = outbox.items.findLast((item) => item.whole);
  if (whole) showSaid(wholeField(), whole);
}

// Said once things have settled, not with every key.
let lastSaid = "";
function announce(counts) {
  if (!heard.image.state || outbox.items.length) return;
  const { counted, parasitized, uncertain } = counts;
  const sentence = ngettext(
    "%(number)s cell counted, %(parasitized)s parasitized, %(uncertain)s uncertain.",
    "%(number)s cells counted, %(parasitized)s parasitized, %(uncertain)s uncertain.",
    counted,
    { parasitized, uncertain },
  );
  const text = `${sentence} ${part("headline").textContent}`;
  if (text !== lastSaid) part("live").textContent = lastSaid = text;
}

function say(text) {
  part("say").textContent = text;
}

function listed() {
  return shown(cells, group, selected);
}

function find(id) {
  return cells.find((cell) => cell.id === id);
}

// Choosing

function select(id, { look = true } = {}) {
  if (draft.isOn) draft.stop();
  selected = id;
  const cell = find(id);
  if (cell && !isShown(cell, group)) setGroup("all");
  boxes.show({ selected });
  strip.show(listed(), id);
  strip.follow(calm);
  card.show(cell, cells.length);
  if (cell && look) view.bringToSight(cell.box);
}

function setGroup(chosen) {
  group = chosen;
  if (find(selected) && !isShown(find(selected), group)) selected = null;
  show();
  part("strip").scrollTo({ left: 0, behavior: "instant" });
}

function step(by) {
  const list = listed();
  const index = list.findIndex((cell) => cell.id === selected);
  const next = list[index < 0 ? 0 : Math.min(Math.max(0, index + by), list.length - 1)];
  if (next) select(next.id);
}

// Round and round, from the chosen cell on.
function stepToNeed(by) {
  const list = shown(cells, "all");
  const start = list.findIndex((cell) => cell.id === selected);
  for (let count = 1; count <= list.length; count += 1) {
    const index = start < 0 && by < 0 ? list.length - count : start + by * count;
    const cell = list[(index + 2 * list.length) % list.length];
    if (needsPerson(cell)) return select(cell.id);
  }
  say(gettext("No cell needs a person now."));
}

// Saying

function opine(label) {
  if (!canReview) return;
  const comment = label ? part("comment").value.trim() : "";
  if (draft.isOn) return label !== "no-cell" && addCell({ label, comment });
  const cell = find(selected);
  if (cell) opineOf(cell, { label, comment });
}

function opineOf(cell, word) {
  const before = cell.mine ? { label: cell.review, comment: cell.comment } : { label: "", comment: "" };
  if (before.label === word.label && before.comment === word.comment) return;
  const isTold = tell(cell.id, word);
  if (isTold) deeds.add({ id: cell.id, before, after: word });
  if (word.label) drafts.keep(cell.id, isTold ? "" : word.comment);
  show();
}

function tell(id, word) {
  say("");
  if (heard.cells.some((cell) => cell.id === id)) return outbox.add({ cell: id, ...word }), true;
  if (change(id, word)) return true;
  say(gettext("This cell is just being sent. Try again in a moment."));
  return false;
}

// A cell that was drawn and not sent yet can still be changed or dropped.
function change(key, { label, comment }) {
  const item = outbox.items.find((other) => other.key === key);
  if (!item || item.sending) return false;
  if (isDropped({ label }) && !item.tried) outbox.drop((other) => other === item);
  else Object.assign(item, { label, comment });
  outbox.keep();
  show();
  return true;
}

// Of the whole field: by the forms above it, which post by themselves without this module.
page.addEventListener("submit", (event) => {
  const form = event.target.closest("#field-opinion form");
  if (!form) return;
  event.preventDefault();
  const { comment = "", seen } = Object.fromEntries(new FormData(form));
  say("");
  outbox.add({ whole: form.action, label: event.submitter.value, comment: comment.trim(), seen });
});

function agree() {
  const decision = find(selected)?.decision;
  if (decision === "parasitized" || decision === "uninfected") opine(decision);
}

function note() {
  if (canReview && find(selected)) part("comment").focus();
}

function keepNote() {
  const cell = noted();
  const comment = part("comment").value.trim();
  if (cell?.mine) return opineOf(cell, { label: cell.review, comment });
  if (cell && comment) say(gettext("The note is kept in this browser alone, until you say what the cell is."));
}

function keepDraft() {
  const cell = noted();
  if (cell && !cell.mine) drafts.keep(cell.id, part("comment").value.trim());
}

// The cell whose note is in the input: it may be left already.
function noted() {
  return cells.find(({ id }) => `${id}` === part("comment").dataset.of);
}

function undo(how) {
  const deed = deeds[how]();
  if (deed) select(deed.id);
  show();
}

function addCell(word) {
  const deed = { box: draft.box, before: { label: "" }, after: word };
  draft.stop();
  addBox(deed, deed.after);
  deeds.add(deed);
  show();
  select(deed.id);
}

function addBox(deed, { label, comment }) {
  outbox.add({ box: deed.box, label, comment });
  deed.id = outbox.items.findLast((item) => item.box)?.key;
}

function draw() {
  if (!canReview || part("draw").disabled) return;
  if (draft.isOn) return draft.stop();
  selected = null;
  delete part("comment").dataset.of; // a new cell, a new note
  draft.begin(medianSide(cells, size.width / 16));
  view.plane.focus();
  say("");
}

function showDraft() {
  part("draw").setAttribute("aria-pressed", draft.isOn);
  boxes.show({ draft: draft.isOn ? { box: draft.box } : null, selected });
  if (!draft.isOn) return card.show(find(selected), cells.length);
  card.showDraft(draft.box);
  const [x, y, width, height] = draft.box;
  part("place").textContent = gettext("Box of %(width)s by %(height)s pixels, %(x)s from the left, %(y)s from the top. Arrow keys move it, with Shift they resize it.", { width, height, x, y });
}

function toggleBoxes() {
  const hidden = !boxes.state.hidden;
  boxes.show({ hidden });
  part("hide").setAttribute("aria-pressed", hidden);
}

// Keys and buttons

const actions = {
  "zoom-in": () => view.zoom(1.4),
  "zoom-out": () => view.zoom(1 / 1.4),
  whole: () => view.whole(),
  draw,
  hide: toggleBoxes,
  undo: () => undo("undo"),
  redo: () => undo("redo"),
  heat: () => card.heat(),
  "take-back": () => opine(""),
  previous: () => step(-1),
  next: () => step(1),
  "need-next": () => stepToNeed(1),
  "need-previous": () => stepToNeed(-1),
  again: () => outbox.send(),
};
for (const [action, act] of Object.entries(actions)) part(action)?.addEventListener("click", act);
for (const chip of page.querySelectorAll("[data-group]")) chip.addEventListener("click", () => setGroup(chip.dataset.group));
for (const button of page.querySelectorAll("button[data-say]")) button.addEventListener("click", () => opine(button.dataset.say));

const go = (selector) => () => document.querySelector(selector)?.click();

listen(
  [
    [gettext("Next and previous cell that needs a person"), { n: actions["need-next"], p: actions["need-previous"] }],
    [gettext("Next and previous cell"), { j: actions.next, k: actions.previous }],
    [gettext("Parasitized, uninfected, cannot tell, not a cell"), Object.fromEntries(LABELS.map((label, index) => [index + 1, () => opine(label)]))],
    [gettext("Agree with the model"), { a: agree }],
    [gettext("Write a note on the cell"), { c: note }],
    [gettext("Take back what you said of the cell"), { t: actions["take-back"] }],
    [gettext("Undo, and do again"), { z: actions.undo, y: actions.redo }],
    [gettext("Heatmap of the chosen cell"), { h: actions.heat }],
    [gettext("Add a missed cell: draw a box, or move it with the arrow keys and resize it with Shift and the arrow keys; then 1, 2 or 3"), { d: draw }],
    [gettext("Not a cell: remove the box"), { Delete: () => opine("no-cell") }],
    [gettext("Hide and show the boxes"), { b: toggleBoxes }],
    [gettext("Whole field, zoom in, zoom out"), { "+": actions["zoom-in"], "-": actions["zoom-out"], 0: actions.whole }],
    [gettext("Move the photograph, or walk through the row of cells, whichever has the focus"), Object.fromEntries(Object.keys(ARROWS).map((key) => [key, null]))],
    [gettext("Choose no cell, or draw no box"), { Escape: () => (draft.isOn ? draft.stop() : select(null)) }],
    [gettext("Agree with the reading of the whole field"), { e: go("[data-field-agrees]") }],
    [gettext("Set the whole field aside, or count it all the same"), { x: go("[data-field-other]") }],
    [gettext("Take back what you said of the whole field"), { r: go("[data-field-undo]") }],
    [gettext("Next field with cells to look at"), { f: go("[data-verdict] a[href*='/field/']") }],
    [gettext("Back to the slide"), { s: go("[data-slide]") }],
    [gettext("Next slide that needs you"), { g: go("[data-next-slide]") }],
    [gettext("All keys"), { "?": null }],
  ],
  (event) => (ARROWS[event.key] ? arrow(event) : event.key === "=" ? actions["zoom-in"] : null),
);

function arrow({ key, target, shiftKey }) {
  const [right, down] = ARROWS[key];
  if (draft.isOn) return () => draft.nudge(right, down, shiftKey);
  if (target === view.plane) return () => view.move(right, down);
  if (target === part("strip") && right) return () => step(right);
  return null;
}

part("comment").addEventListener("input", keepDraft);
part("comment").addEventListener("change", keepNote);
part("comment").addEventListener("keydown", ({ key, target }) => key === "Escape" && target.blur());

part("strip").addEventListener("keydown", (event) => {
  const ends = { Home: 0, End: -1 };
  if (event.key === "Enter" && selected === null) step(0);
  else if (event.key === "Enter") card.buttons[0].focus();
  else if (event.key in ends) select(listed().at(ends[event.key])?.id ?? null);
  else return;
  event.preventDefault();
});

view.viewer.addHandler("canvas-click", ({ quick, position }) => {
  if (!quick) return;
  view.plane.focus();
  select(boxes.at(view.toImage(position))?.id ?? null, { look: false });
});
view.viewer.addHandler("open", () => {
  part("fetching").hidden = true;
  part("draw").disabled = false;
  if (find(selected)) view.bringToSight(find(selected).box);
});
view.viewer.addHandler("open-failed", () => {
  part("fetching").hidden = true;
  say(gettext("The photograph could not be loaded. Reload the page to try again."));
});

strip.takePhoto(photo);
strip.photo.addEventListener("load", () => show());
show();
ask();
addEventListener("pageshow", ({ persisted }) => persisted && ask());
if (outbox.items.length) outbox.send();
