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

// Changes what differs and nothing else, so that focus, selection, what is typed and what is unfolded stay.
function change(old, now) {
  for (const { name } of [...old.attributes]) {
    if (!now.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of now.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const [before, after] = [[...old.childNodes], [...now.childNodes]];
  after.forEach((node, place) => {
    const there = before[place];
    if (!there) old.append(node);
    else if (there.nodeName !== node.nodeName || there.id !== node.id) there.replaceWith(node);
    else if (node instanceof Element) change(there, node);
    else if (there.data !== node.data) there.data = node.data;
  });
  before.slice(after.length).forEach((node) => node.remove());
}

function show(text) {
  const now = document.createElement("div");
  now.innerHTML = text;
  const [old, new_] = [live.firstElementChild, now.firstElementChild];
  if (!new_) return;
  change(old, new_);
  document.title = old.dataset.title ?? document.title;
  filter();
}

// The flags whose names contain what is typed.
function filter() {
  const input = document.getElementById("filter");
  if (!input) return;
  input.closest("label").hidden = false;
  for (const row of document.querySelectorAll("#features li")) {
    row.hidden = !row.firstElementChild.textContent.includes(input.value.trim());
  }
}

live.addEventListener("input", filter);
filter();

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(part, { credentials: "same-origin" });
      const text = await answer.text();
      if (answer.ok) {
        show(text);
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
