// What a page gains where scripts run: one that says so is kept as new as the server's, and what is to be typed
// elsewhere can be copied. Everything works without it.
"use strict";

const main = document.getElementById("main");
// What the server said last: what is the same need not be shown anew.
let known = main?.innerHTML;

// A page that says so is asked for anew every few seconds, as long as somebody looks at it.
async function look() {
  const where = main.dataset.live;
  if (!where) return;
  // Nothing changes under the hands of somebody who types.
  if (!document.hidden && !document.activeElement?.matches("input, select, textarea")) {
    const answer = await fetch(where, { credentials: "same-origin" });
    // Logged out, or it is gone: the browser goes there, and shows what there is.
    if (answer.redirected || !answer.ok) return void location.replace(where);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
    if (fresh.innerHTML !== known) show(fresh);
    if (fresh.dataset.live) main.dataset.live = fresh.dataset.live;
    else delete main.dataset.live;
  }
  again();
}

// Shows what is new. What was said of the last form stays, and whoever stood on a link or a button stands there again.
function show(fresh) {
  known = fresh.innerHTML;
  const said = main.querySelector(":scope > [role=status]");
  const stops = () => [...main.querySelectorAll("a, button:not([hidden]), summary")];
  const stop = stops().indexOf(document.activeElement);
  main.replaceChildren(...(said ? [said] : []), ...fresh.childNodes);
  copies();
  stops()[stop]?.focus({ preventScroll: true });
}

function again() {
  if (main.dataset.live) setTimeout(() => look().catch(again), (main.dataset.every || 2) * 1000);
}

// Buttons that copy are hidden where they would do nothing.
function copies() {
  if (!navigator.clipboard) return;
  for (const button of main.querySelectorAll("button[data-copy][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    });
  }
}

if (main) {
  copies();
  again();
}
