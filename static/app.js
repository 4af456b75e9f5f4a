// What a page gains where scripts run: one that says so is kept as new as the server's, and what is to be typed
// elsewhere can be copied. Everything works without it.
"use strict";

const main = document.getElementById("main");

// A page that says so is asked for anew every few seconds, as long as somebody looks at it.
async function look() {
  const where = main.dataset.live;
  if (!where) return;
  const busy = main.contains(document.activeElement) && document.activeElement !== main;
  if (!document.hidden && !busy) {
    const answer = await fetch(where, { credentials: "same-origin" });
    // Logged out, or it is gone: the browser goes there, and shows what there is.
    if (answer.redirected || !answer.ok) return void location.replace(where);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
    const said = main.querySelector(":scope > [role=status]");
    main.replaceChildren(...(said ? [said] : []), ...fresh.childNodes);
    if (fresh.dataset.live) main.dataset.live = fresh.dataset.live;
    else delete main.dataset.live;
    copies();
  }
  again();
}

function again() {
  if (main.dataset.live) setTimeout(() => look().catch(again), 2000);
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
