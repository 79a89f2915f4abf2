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

function show(live, changed) {
  for (const [name, html] of Object.entries(changed)) {
    const block = live.querySelector(`[data-block="${name}"]`);
    if (!block) continue;
    held.set(block, html);
    settle(block);
  }
  live.dataset.looks = Number(live.dataset.looks || 0) + 1;
}

function follow(live) {
  const lost = document.getElementById("lost");
  let events = null;

  function begin() {
    // A browser has six connections to a server: a tab that nobody sees leaves them to others.
    if (events || document.hidden) return;
    const opened = new EventSource(live.dataset.events);
    opened.onmessage = (event) => {
      lost.hidden = true;
      show(live, JSON.parse(event.data));
    };
    opened.onerror = () => {
      lost.textContent = live.dataset.lost;
      lost.hidden = false;
      // After an answer that is no stream a browser does not try again by itself.
      if (opened.readyState !== EventSource.CLOSED || events !== opened) return;
      events = null;
      setTimeout(begin, 5000);
      loginIfOver();
    };
    events = opened;
  }

  async function loginIfOver() {
    // Only an answer says why there is no stream: 401 is a session that is over.
    const asking = new AbortController();
    const answer = await fetch(live.dataset.events, { signal: asking.signal }).catch(() => null);
    if (answer?.status === 401) location.reload(); // Which leads to the login, and back here.
    asking.abort();
  }

  function end() {
    events?.close();
    events = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? end() : begin()));
  addEventListener("pagehide", end);
  addEventListener("pageshow", begin); // One comes back to the page as it was left.
  begin();
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
