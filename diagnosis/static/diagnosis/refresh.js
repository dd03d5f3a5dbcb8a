// The results of a slide are asked for anew once something has changed them. A moment later, since
// a single image is mostly read by then, and then once for all that changed meanwhile.

const MOMENT = 100; // ms
let due = 0;

export function refresh() {
  due ||= setTimeout(ask, MOMENT);
}

// An answer on its way may have been made before the change, and none is asked for beside it.
function ask() {
  due = 0;
  if (document.querySelector("#results.htmx-request")) refresh();
  else document.body.dispatchEvent(new Event("refresh"));
}
