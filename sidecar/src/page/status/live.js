// Asks for the part of the page that changes, while somebody looks at it.
"use strict";

const live = document.getElementById("live");
const PERIOD = 3000;
// The address of the page may hold a password, and a request may not.
const part = new URL(live.dataset.part, location.origin);

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(part, { credentials: "same-origin" });
      live.innerHTML = await answer.text();
      live.classList.remove("stale");
    } catch {
      // What is shown is old; it goes on asking.
      live.classList.add("stale");
    }
  }
  setTimeout(look, PERIOD);
}

setTimeout(look, PERIOD);
