// The images of a slide: heatmaps laid over them, and each one large with previous and next.

import { gettext } from "./words.js";
import { noteIn, whenLeft } from "./writing.js";

const results = document.getElementById("results");
const viewer = document.getElementById("viewer");
const stage = viewer.querySelector("[data-stage]");
const part = (name) => viewer.querySelector(`[data-${name}]`);
let open = null;
let isHeld = false; // somebody writes beside the large image

function cells() {
  return [...document.querySelectorAll("#cells .cell")];
}

function mapOf(cell) {
  const form = cell.querySelector("[data-heat]")?.form;
  return form && `${form.action}?${new URLSearchParams(new FormData(form))}`;
}

function overlay(photo, address) {
  photo.querySelector(".heat")?.remove();
  if (!address) return;
  const heat = new Image();
  heat.className = "heat";
  heat.alt = gettext("Heatmap");
  heat.src = address;
  photo.append(heat);
}

function toggle(cell, on) {
  const button = cell.querySelector("[data-heat]");
  if (!button) return;
  button.setAttribute("aria-pressed", on);
  overlay(cell.querySelector(".photo"), on && mapOf(cell));
}

const isOn = (button) => button?.getAttribute("aria-pressed") === "true";

// The page's one switch for all maps: it holds for cells that come later, too.
let all = false;

function toggleAll() {
  all = !all;
  cells().forEach((cell) => toggle(cell, all));
  showAll();
}

function showAll() {
  results.querySelector("[data-heat-all]")?.setAttribute("aria-pressed", all);
}

results.addEventListener("click", (event) => {
  const heat = event.target.closest("[data-heat]");
  if (heat) {
    event.preventDefault();
    toggle(heat.closest(".cell"), !isOn(heat));
  } else if (event.target.closest("[data-heat-all]")) {
    toggleAll();
  } else if (event.target.closest("[data-view]") && !(event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    show(event.target.closest(".cell"));
    viewer.showModal();
  }
});

document.addEventListener("htmx:after:swap", () => {
  showAll();
  if (all) cells().filter((cell) => !isOn(cell.querySelector("[data-heat]"))).forEach((cell) => toggle(cell, true));
  open = open && document.getElementById(open.id);
  if (viewer.open && open) describe();
});

function show(cell) {
  open = cell;
  const image = cell.querySelector(".photo img");
  const large = new Image();
  large.src = cell.querySelector("[data-view]").href;
  large.alt = image.alt;
  stage.replaceChildren(large);
  describe();
}

function describe() {
  const list = cells();
  const index = list.indexOf(open);
  viewer.dataset.of = open.id;
  part("place").textContent = `${gettext("%(place)s of %(total)s", { place: index + 1, total: list.length })} · ${open.querySelector(".cell-name").textContent}`;
  fillSide();
  part("previous").disabled = index <= 0;
  part("next").disabled = index === list.length - 1;
  part("viewer-heat").disabled = !mapOf(open);
  layMap(isOn(part("viewer-heat")));
}

// A copy of what the card says: its forms work here too, and answer into the card.
function fillSide() {
  const note = noteIn(part("side"));
  if (note) return hold(note);
  const focused = part("side").contains(document.activeElement) && document.activeElement;
  const body = open.querySelector(".cell-body").cloneNode(true);
  for (const named of body.querySelectorAll("[id]")) named.removeAttribute("id");
  part("side").replaceChildren(body);
  htmx.process(body);
  const same = focused?.value && body.querySelector(`button[value="${focused.value}"]`);
  if (focused) (same || body.querySelector("button[name=label]") || part("close")).focus();
  document.dispatchEvent(new Event("viewed"));
}

function hold(note) {
  if (isHeld) return;
  isHeld = true;
  whenLeft(note, () => {
    isHeld = false;
    if (viewer.open && open) describe();
  });
}

function layMap(on) {
  part("viewer-heat").setAttribute("aria-pressed", on);
  overlay(stage, on && mapOf(open));
}

function step(by) {
  const list = cells();
  const next = list[list.indexOf(open) + by];
  if (next) show(next);
}

part("previous").addEventListener("click", () => step(-1));
part("next").addEventListener("click", () => step(1));
part("close").addEventListener("click", () => viewer.close());
part("viewer-heat").addEventListener("click", () => layMap(!isOn(part("viewer-heat"))));

viewer.addEventListener("keydown", (event) => {
  if (event.target.matches("input")) return;
  if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else if (event.key.toLowerCase() === "h" && mapOf(open)) layMap(!isOn(part("viewer-heat")));
});

// The keys of the page walk here too.
viewer.addEventListener("view", ({ detail }) => show(detail));

viewer.addEventListener("close", () => {
  open?.querySelector("[data-view]")?.focus();
  stage.replaceChildren();
});
