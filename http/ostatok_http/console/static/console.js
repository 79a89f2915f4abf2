// Two things that HTML can't do alone: the overview that goes on being true, and "choose all".
"use strict";

// What came for a block in which something has the focus, until that has gone elsewhere.
const held = new Map();

function settle(block) {
  // A link that somebody is about to press must not be taken from under him.
  const focused = document.activeElement;
  if (!held.has(block) || (block !== focused && block.contains(focused))) return;
  block.innerHTML = held.get(block);
  held.delete(block);
}

function follow(live) {
  const lost = document.getElementById("lost");
  const events = new EventSource(live.dataset.events);
  events.onmessage = (event) => {
    lost.hidden = true;
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      const block = live.querySelector(`[data-block="${name}"]`);
      if (!block) continue;
      held.set(block, html);
      settle(block);
    }
    live.dataset.looks = Number(live.dataset.looks || 0) + 1;
  };
  events.onerror = () => {
    lost.textContent = live.dataset.lost;
    lost.hidden = false;
    // After an answer that is no stream a browser does not try again by itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => follow(live), 5000);
  };
  addEventListener("pagehide", () => events.close(), { once: true });
}

function offerAll(form) {
  const all = form.querySelector("[data-all]");
  const each = form.querySelectorAll('input[name="position"]');
  if (!all) return;
  all.hidden = false;
  all.addEventListener("change", () => each.forEach((one) => (one.checked = all.checked)));
}

const live = document.getElementById("live");
if (live) {
  for (const block of live.querySelectorAll("[data-block]")) {
    // Only then is it known where the focus has gone.
    block.addEventListener("focusout", () => setTimeout(() => settle(block)));
  }
  follow(live);
}
document.querySelectorAll("[data-bulk]").forEach(offerAll);
