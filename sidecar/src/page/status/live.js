// Asks for the part of the page that changes, while somebody looks at it.
"use strict";

const live = document.getElementById("live");
const stale = document.getElementById("stale");
const PERIOD = 3000;
// The address of the page may hold a password, and a request may not.
const part = new URL(live.dataset.part, location.origin);

async function look() {
  if (!document.hidden) {
    let isFresh = false;
    try {
      const answer = await fetch(part, { credentials: "same-origin" });
      // Anything else is an error, or not ours.
      if (answer.ok) {
        live.innerHTML = await answer.text();
        isFresh = true;
      }
    } catch {
      // It goes on asking.
    }
    live.classList.toggle("stale", !isFresh);
    stale.hidden = isFresh;
  }
  setTimeout(look, PERIOD);
}

setTimeout(look, PERIOD);
