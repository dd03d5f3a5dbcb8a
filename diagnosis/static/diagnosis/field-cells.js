// What is known of a field's cells, with what a person said that the server has not heard yet.

import { decimal, gettext, inPercent } from "./words.js";

export const GROUPS = ["parasitized", "uncertain", "uninfected", "edge", "rejected", "removed"];

const WORDS = {
  parasitized: gettext("Parasitized"),
  uncertain: gettext("Uncertain"),
  uninfected: gettext("Uninfected"),
  edge: gettext("Edge"),
  rejected: gettext("Rejected"),
  removed: gettext("Removed"),
  "cannot-tell": gettext("Cannot tell"),
  "no-cell": gettext("Not a cell"),
};

export function word(name) {
  return WORDS[name] ?? name;
}

export function withUnsent(cells, unsent) {
  const said = new Map(unsent.filter((item) => item.cell).map((item) => [item.cell, item]));
  const known = cells.map((cell) => (said.has(cell.id) ? heard(cell, said.get(cell.id)) : cell));
  return [...known, ...unsent.filter((item) => item.box).map(added)].map(numbered);
}

function heard(cell, { label, comment = "" }) {
  return { ...cell, review: label || null, mine: Boolean(label), comment, counts_as: countsAs(cell, label), unsent: true };
}

// As the server counts: cells at the edge stay out, whatever is said of them.
function countsAs(cell, label) {
  if (label === "no-cell") return "removed";
  if (cell.edge) return "edge";
  if (label) return label === "cannot-tell" ? "uncertain" : label;
  return cell.by === "person" ? "removed" : cell.decision;
}

function added({ key, box, label, comment }) {
  const cell = { id: key, box, edge: false, label: "", probability: null, decision: "", reasons: [] };
  return heard({ ...cell, by: "person", heatmap: null, crop: null, remarks: [] }, { label, comment });
}

function numbered(cell, index) {
  return { ...cell, number: index + 1 };
}

export function countGroups(cells) {
  const counts = Object.fromEntries(GROUPS.map((group) => [group, 0]));
  for (const cell of cells) counts[cell.counts_as] += 1;
  counts.all = cells.length - counts.removed;
  counts.counted = counts.parasitized + counts.uninfected + counts.uncertain;
  return counts;
}

// The chosen cell stays where it is until another is chosen, even if it belongs elsewhere now.
export function shown(cells, group, chosen) {
  const kept = cells.filter((cell) => isShown(cell, group) || cell.id === chosen);
  return kept.sort((one, other) => suspicion(other) - suspicion(one) || one.number - other.number);
}

export function isShown(cell, group) {
  return group === "all" ? cell.counts_as !== "removed" : cell.counts_as === group;
}

// A cell that a person added has no probability: it stands where it can be found again.
function suspicion(cell) {
  return cell.probability ?? (cell.review === "parasitized" ? 1 : 0);
}

// As the server counts what is to be looked at: a positive slide rests on these.
export function needsPerson(cell) {
  return ["parasitized", "uncertain"].includes(cell.counts_as) && !cell.review;
}

// As the pages of the server write a share: never a rounded 0 % or 100 %.
export function percent(share) {
  if (share === null) return "";
  if (share > 0.99 && share < 1) return inPercent(decimal(Math.min(share, 0.999) * 100, 1));
  return inPercent(share > 0 && share < 0.01 ? "< 1" : Math.round(share * 100));
}

export function nameOf(cell) {
  const parts = [gettext("Cell %(number)s", { number: cell.number }), word(cell.counts_as).toLowerCase()];
  if (cell.probability !== null) parts.push(percent(cell.probability));
  if (cell.review) parts.push(gettext("reviewed"));
  return parts.join(", ");
}

export function medianSide(cells, fallback) {
  const sides = cells.map(({ box }) => (box[2] + box[3]) / 2).sort((one, other) => one - other);
  return sides[Math.floor(sides.length / 2)] ?? fallback;
}
