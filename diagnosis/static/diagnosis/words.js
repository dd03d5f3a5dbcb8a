// What scripts say, in the language of the page: by Django's catalogue where the page loads one.
// In English there is none, and a sentence is shown as it is written in the script.

const { django } = globalThis;

export function gettext(text, values) {
  return filled(django?.gettext(text) ?? text, values);
}

export function ngettext(one, many, number, values) {
  const text = django?.ngettext(one, many, number) ?? (number === 1 ? one : many);
  return filled(text, { number, ...values });
}

export function decimal(value, digits) {
  const places = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false };
  return value.toLocaleString(document.documentElement.lang, places);
}

export function inPercent(figure) {
  return gettext("%(figure)s %", { figure });
}

function filled(text, values = {}) {
  return text.replace(/%\((\w+)\)s/g, (_, name) => values[name]);
}
