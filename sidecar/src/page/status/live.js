// Asks for the part of the page that changes, while somebody looks at it.
"use strict";

const live = document.getElementById("live");
const stale = document.getElementById("stale");
const PERIOD = 3000;
// The address of the page may hold a password, and a request may not.
const part = new URL(live.dataset.part, location.origin);

// What is shown stays, and is said to be old: a page of somebody in between is not put in its place.
function keep(why) {
  live.classList.add("stale");
  stale.textContent = "This is how things were. " + why;
  stale.hidden = false;
}

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(part, { credentials: "same-origin" });
      const text = await answer.text();
      if (answer.ok) {
        live.innerHTML = text;
        live.classList.remove("stale");
        stale.hidden = true;
      } else if (answer.status === 401 || answer.status === 403) {
        keep("The password is no longer valid: reload this page.");
      } else {
        keep("No response at the moment; this page keeps trying.");
      }
    } catch {
      keep("No response at the moment; this page keeps trying.");
    }
  }
  setTimeout(look, PERIOD);
}

setTimeout(look, PERIOD);
