// Files on their way to a slide: each with a preview, a progress bar and an end of its own.
//
// A file is waiting → sending → done | refused (by the server, with its reason) | lost (on the
// way: it stays here and can be sent again). Without this module the form posts all at once.

import { parsed, token } from "./outbox.js";
import { refresh } from "./refresh.js";
import { decimal, gettext, inPercent, ngettext } from "./words.js";

const NOT_NOW = ["busy", "not-stored"]; // refused for the site's sake, not the file's
const AT_ONCE = 3;
const SILENCE = 60_000; // ms without a byte moving before a transfer counts as lost

const form = document.querySelector("form[data-upload]");
const part = (name) => form.querySelector(`[data-${name}]`);
const input = form.querySelector('input[type="file"]');
const limit = Number(form.dataset.limit);
const makesSlide = !form.dataset.images;
let target = form.dataset.images;
let slide = "";
let making = false;
let started = false;
let items = [];

const count = (...states) => items.filter((item) => states.includes(item.state)).length;

// Choosing

function add(chosen) {
  for (const file of chosen) {
    const item = { file, row: newRow(file), state: "waiting" };
    item.row.querySelector("[data-remove]").addEventListener("click", () => remove(item));
    items.push(item);
    part("files").append(item.row);
    const tooLarge = file.size > limit;
    settle(item, tooLarge ? "refused" : "waiting", tooLarge ? gettext("Larger than %(size)s MB.", { size: limit / 1e6 }) : sizeOf(file));
  }
  report();
  if (started) pump();
}

function newRow(file) {
  const row = part("row").content.firstElementChild.cloneNode(true);
  const name = row.querySelector(".file-name");
  name.textContent = name.title = file.name;
  row.querySelector("[data-remove]").setAttribute("aria-label", gettext("Remove %(name)s", { name: file.name }));
  preview(file, row.querySelector(".file-picture"));
  return row;
}

function preview(file, place) {
  place.textContent = file.name.split(".").pop().slice(0, 4).toUpperCase();
  const picture = new Image();
  picture.alt = "";
  picture.loading = "lazy"; // of thousands, those that come into sight
  picture.addEventListener("load", () => {
    place.replaceChildren(picture);
    URL.revokeObjectURL(picture.src);
  });
  picture.addEventListener("error", () => {
    picture.remove();
    URL.revokeObjectURL(picture.src);
  });
  picture.src = URL.createObjectURL(file);
  place.append(picture);
}

function sizeOf(file) {
  return file.size < 1e6 ? `${Math.ceil(file.size / 1e3)} kB` : `${decimal(file.size / 1e6, 1)} MB`;
}

function remove(item) {
  items = items.filter((other) => other !== item);
  clearTimeout(item.watch);
  item.request?.abort();
  item.row.remove();
  input.focus();
  report();
  pump();
}

// Sending

function pump() {
  while (started && target && count("sending") < AT_ONCE) {
    const next = items.find((item) => item.state === "waiting");
    if (!next) break;
    send(next);
  }
  if (started && !count("waiting", "sending")) finish();
}

function send(item) {
  const request = (item.request = new XMLHttpRequest());
  const body = new FormData();
  body.append("images", item.file);
  request.open("POST", target);
  for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
  request.upload.addEventListener("progress", (event) => progress(item, event.loaded / event.total));
  request.addEventListener("load", () => answered(item, request));
  request.addEventListener("error", () => lost(item));
  settle(item, "sending", "");
  progress(item, 0);
  request.send(body);
}

function progress(item, share) {
  clearTimeout(item.watch);
  item.watch = setTimeout(() => {
    item.request.abort();
    lost(item);
  }, SILENCE);
  item.row.querySelector("progress").value = share;
  say(item, share < 1 ? inPercent(Math.floor(share * 100)) : gettext("Checking"));
}

function answered(item, request) {
  const answer = parsed(request.responseText);
  const [receipt] = answer?.receipts ?? [];
  if (request.status === 200 && receipt) received(item, receipt);
  else if (request.status === 401) lost(item, gettext("You are signed out. Sign in in another tab, then send again."));
  else if (request.status === 413) settle(item, "refused", gettext("Larger than this server takes."));
  else lost(item, answer?.error ?? gettext("The server could not take it just now."));
  pump();
}

function received(item, receipt) {
  if (NOT_NOW.includes(receipt.code)) lost(item, receipt.refusal);
  else if (receipt.refusal) settle(item, "refused", receipt.refusal);
  else settle(item, "done", receipt.note || gettext("Received"));
  item.row.classList.toggle("noted", Boolean(receipt.note));
  refresh();
}

function lost(item, why = gettext("The connection was lost. The file is still here.")) {
  settle(item, "lost", why);
  if (item.request.status === 0) pump();
}

function sendAgain() {
  started = true;
  items.filter((item) => item.state === "lost").forEach((item) => settle(item, "waiting", gettext("Waiting")));
  report();
  if (target) pump();
  else form.requestSubmit();
}

// The files are of whoever opened the page, not of somebody who signed in meanwhile.
function headers() {
  return { Accept: "application/json", "X-CSRFToken": token(form), "X-Person": form.dataset.who };
}

// Telling

function settle(item, state, text) {
  clearTimeout(item.watch);
  item.state = state;
  item.row.className = `file ${state}`;
  item.row.querySelector("progress").hidden = state !== "sending";
  say(item, text);
  report();
}

function say(item, text) {
  item.row.querySelector("[data-text]").textContent = text;
}

function report() {
  const sent = count("done", "refused");
  part("files").hidden = !items.length;
  part("again").hidden = !count("lost") || count("sending") > 0;
  part("send").disabled = making || (started && count("sending") > 0);
  part("send").hidden = items.length > 0 && !count("waiting", "sending");
  part("total").hidden = !started || !count("sending", "waiting");
  part("total").value = items.length ? sent / items.length : 0;
  part("text-total").textContent = summary(sent);
}

function summary(sent) {
  if (started && count("sending", "waiting")) return gettext("Sending: %(sent)s of %(total)s done", { sent, total: items.length });
  const [waiting, done, refused, lost] = ["waiting", "done", "refused", "lost"].map((state) => count(state));
  const parts = [
    waiting && ngettext("%(number)s file ready to send", "%(number)s files ready to send", waiting),
    done && ngettext("%(number)s file received", "%(number)s files received", done),
    refused && ngettext("%(number)s file refused", "%(number)s files refused", refused),
    lost && ngettext("%(number)s file not sent", "%(number)s files not sent", lost),
  ];
  return parts.filter(Boolean).join(" · ");
}

function finish() {
  started = false;
  items.filter((item) => item.state !== "done").reverse().forEach((item) => part("files").prepend(item.row));
  report();
  if (slide && !count("refused", "lost")) location.assign(slide);
}

// The slide itself

// Once, however often it is asked for meanwhile.
async function makeSlide() {
  isMaking(true);
  try {
    await askForSlide();
  } finally {
    isMaking(false);
  }
}

function isMaking(now) {
  making = now;
  report();
}

async function askForSlide() {
  const body = new FormData(form);
  body.delete("images");
  body.delete("csrfmiddlewaretoken"); // or it would count, and not the present one
  const response = await fetch(form.action, { method: "POST", body, headers: headers() });
  const answer = parsed(await response.text());
  if (response.status === 401) throw new Error(gettext("You are signed out. Sign in in another tab, then send again."));
  if (response.status !== 201) throw Object.assign(new Error(answer?.error ?? ""), { fields: answer?.errors, taken: answer?.taken });
  ({ url: slide, images: target } = answer);
  part("about").disabled = true;
  part("open").href = slide;
  part("open").hidden = false;
  history.replaceState(null, "", slide);
}

function showErrors(errors = {}, taken) {
  for (const place of form.querySelectorAll("[data-errors]")) {
    const found = errors[place.dataset.errors] ?? [];
    place.textContent = found.join(" ");
    const field = form.elements[place.dataset.errors];
    if (found.length) field?.setAttribute("aria-invalid", "true");
    else field?.removeAttribute("aria-invalid");
  }
  if (taken) form.querySelector('[data-errors="code"]').replaceChildren(...linked(taken));
  form.querySelector('[aria-invalid="true"]')?.focus();
}

// A code that is taken leads to its slide.
function linked({ text, code, url }) {
  const [before, after] = text.split("{link}");
  const link = document.createElement("a");
  link.href = url;
  link.textContent = code;
  return [before, link, after];
}

function whyNot(error) {
  if (error.fields) return gettext("Nothing was sent yet: look at what is marked above.");
  if (error instanceof TypeError) return gettext("The connection was lost. Nothing was sent yet; the files are still here.");
  return error.message || gettext("The server could not take it just now. The files are still here.");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (making) return;
  if (!count("waiting")) return void (part("text-total").textContent = gettext("Choose at least one photograph."));
  try {
    if (makesSlide && !target) await makeSlide();
    showErrors();
    started = true;
    pump();
  } catch (error) {
    showErrors(error.fields, error.taken);
    part("text-total").textContent = whyNot(error);
  }
});

part("again").addEventListener("click", sendAgain);
addEventListener("online", () => count("lost") && sendAgain());
addEventListener("beforeunload", (event) => {
  if (count("sending", "lost") || (started && count("waiting"))) event.preventDefault();
});

function take() {
  add(input.files);
  input.value = "";
}

input.required = false;
input.addEventListener("change", take);
if (input.files.length) take(); // chosen while this script was still on its way

const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  part("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) part("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  part("drop").classList.remove("over");
  add(event.dataTransfer.files);
});
