// What the page can do with a script: it follows what happens, keeps relative times true, and has keys. Without it, everything
// else works. Every part of the page is made by the server: the script fetches the same page again and takes from it the
// elements with `data-live`.
"use strict";

(() => {
  const root = document.body.dataset.root;
  if (root === undefined) return;

  // ---- Times ----

  const spans = [[86400 * 2, 86400, "d"], [3600, 3600, "h"], [60, 60, "min"], [0, 1, "s"]];

  const relative = (at, now) => {
    const seconds = Math.abs(Math.round((now - at) / 1000));
    const [, unit, name] = spans.find(([least]) => seconds >= least);
    const apart = `${Math.floor(seconds / unit)} ${name}`;
    return at > now ? `in ${apart}` : `${apart} ago`;
  };

  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

  const tellTimes = (within = document) => {
    const now = Date.now();
    for (const time of within.querySelectorAll("time[datetime]")) {
      const at = Date.parse(time.dateTime);
      if (Number.isNaN(at)) continue;
      if ("relative" in time.dataset) {
        const text = relative(at, now);
        if (time.textContent !== text) time.textContent = text;
      } else if ("due" in time.dataset) {
        const text = at > now ? relative(at, now) : "now";
        if (time.textContent !== text) time.textContent = text;
      }
      time.title = `${local.format(at)} · ${time.dateTime}`;
    }
  };

  // ---- Live ----

  const badge = document.createElement("span");
  badge.className = "live";
  badge.setAttribute("role", "status");
  const tell = (state, text) => {
    if (badge.dataset.state === state) return;
    badge.dataset.state = state;
    badge.textContent = text;
  };

  // What somebody has chosen in this tab stays chosen while it goes from view to view.
  let isHeld = sessionStorage.getItem("held") !== null;
  const hold = document.createElement("button");
  hold.type = "button";
  hold.className = "quiet hold";
  const showHold = () => {
    hold.textContent = "Pause";
    hold.setAttribute("aria-pressed", String(isHeld));
  };
  hold.addEventListener("click", () => {
    isHeld = !isHeld;
    if (isHeld) sessionStorage.setItem("held", "");
    else sessionStorage.removeItem("held");
    showHold();
    tell(isHeld ? "paused" : "on", isHeld ? "paused" : "live");
    changed();
  });

  // While somebody selects or reads, nothing moves under their eyes.
  const isRead = () => {
    if (document.hidden || isHeld) return true;
    if (document.querySelector("dialog[open], [data-live] details[open], [data-live] input:checked")) return true;
    const selected = document.getSelection();
    if (selected && !selected.isCollapsed) return true;
    const active = document.activeElement;
    // Of what was clicked with a mouse the focus tells nothing.
    return active !== null && active.closest("[data-live]") !== null && active.matches("a, input, button, summary, select")
      && active.matches(":focus-visible");
  };

  let isStale = false;
  let isFetching = false;
  // A page that takes the server long is asked for less often.
  let notBefore = 0;
  let freshAt = Date.now();
  const restMin = 2000;
  const restTimes = 10;
  // What changes without an event: what was in the last hour, since when something is missing.
  const ageMax = 30000;

  const refresh = async () => {
    if (Date.now() - freshAt > ageMax) isStale = true;
    if (isFetching || !isStale || Date.now() < notBefore) return;
    if (isRead()) {
      tell("paused", isHeld ? "paused" : "paused while you read");
      return;
    }
    isFetching = true;
    isStale = false;
    const asked = Date.now();
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
      if (answer.status === 401) {
        location.reload();
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      // Somebody may have begun to read meanwhile.
      if (isRead()) isStale = true;
      else {
        replace(page);
        freshAt = asked;
        if (isConnected) tell("on", "live");
      }
    } catch {
      isStale = true;
      const since = new Date(freshAt).toLocaleTimeString();
      tell("off", isConnected ? `not up to date since ${since}` : "not connected");
    } finally {
      isFetching = false;
      notBefore = Date.now() + Math.max(restMin, restTimes * (Date.now() - asked));
    }
  };

  const liveParts = () => document.querySelectorAll("[data-live][id]");
  // What the server has sent of each part, without what the script has made of it.
  const received = new Map([...liveParts()].map((part) => [part.id, part.innerHTML]));
  const links = (part) => new Set([...part.querySelectorAll("tbody tr a")].map((link) => link.getAttribute("href")));
  const scrollers = (part) => [part, ...part.querySelectorAll(".sheet, pre, .said")];

  const replace = (page) => {
    for (const old of liveParts()) {
      const fresh = page.getElementById(old.id);
      if (fresh === null || fresh.innerHTML === received.get(old.id)) continue;
      received.set(old.id, fresh.innerHTML);
      const next = document.importNode(fresh, true);
      tellTimes(next);
      addSelectAll(next);
      const known = links(old);
      for (const row of next.querySelectorAll("tbody tr:has(a)")) {
        if (!known.has(row.querySelector("a").getAttribute("href"))) row.classList.add("fresh");
      }
      const current = old.querySelector("tr.current a")?.getAttribute("href");
      const scrolled = scrollers(old).map((part) => part.scrollLeft);
      const focused = scrollers(old).indexOf(document.activeElement);
      old.replaceWith(next);
      scrollers(next).forEach((part, n) => { part.scrollLeft = scrolled[n] ?? 0; });
      if (focused !== -1) scrollers(next)[focused]?.focus({ preventScroll: true });
      if (current) mark([...next.querySelectorAll("tbody a")].find((link) => link.getAttribute("href") === current)?.closest("tr"));
    }
  };

  const changed = () => {
    isStale = true;
    refresh();
  };

  let events = null;
  let isConnected = false;
  let wasConnected = false;

  const connect = () => {
    // A browser opens few connections to a server: a tab that nobody sees leaves its own to others.
    if (document.hidden || events !== null) return;
    events = new EventSource(`${root}api/v1/events`);
    events.addEventListener("open", () => {
      isConnected = true;
      if (!isHeld) tell("on", "live");
      // What happened while there was no connection is not remembered by a server that has started since.
      if (wasConnected) changed();
      wasConnected = true;
    });
    events.addEventListener("error", () => {
      isConnected = false;
      tell("off", "not connected");
      // A browser tries again after a cut, but not after an answer that it does not expect, such as one of a proxy.
      if (events?.readyState !== EventSource.CLOSED) return;
      disconnect();
      setTimeout(connect, 2000 + Math.random() * 3000);
    });
    events.addEventListener("change", changed);
  };

  const disconnect = () => {
    events?.close();
    events = null;
    isConnected = false;
  };

  const follow = () => {
    if (document.querySelector("[data-live]") === null) return;
    showHold();
    document.querySelector(".bar")?.append(badge, hold);
    if (isHeld) tell("paused", "paused");
    connect();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) disconnect();
      else connect();
      refresh();
    });
    // A page that is kept for the way back would keep its connection.
    addEventListener("pagehide", disconnect);
    addEventListener("pageshow", connect);
    document.addEventListener("selectionchange", () => setTimeout(refresh, 500));
    document.addEventListener("change", refresh);
    document.addEventListener("focusout", () => setTimeout(refresh, 0));
    setInterval(refresh, 500);
  };

  // ---- Keys ----

  const rows = () => [...document.querySelectorAll('main tbody tr:has(a:not([href*="?"]))')];

  const mark = (row) => {
    document.querySelector("tr.current")?.classList.remove("current");
    if (!row) return;
    row.classList.add("current");
    row.scrollIntoView({ block: "nearest" });
  };

  const move = (step) => {
    const all = rows();
    const at = all.findIndex((row) => row.classList.contains("current"));
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    mark(next);
    next?.querySelector("a")?.focus({ preventScroll: true });
  };

  const keys = {
    "/": ["goes to the filter", () => {
      const field = document.querySelector("[role=search] input:not([type=hidden])");
      if (field) field.focus();
      else location.href = `${root}deliveries#match`;
    }],
    j: ["next row", () => move(1)],
    k: ["row before", () => move(-1)],
    Enter: ["opens the row", () => document.querySelector("tr.current a")?.click()],
    x: ["selects the row", () => document.querySelector("tr.current input[type=checkbox]")?.click()],
    r: ["retries what is selected, this row or this delivery, after a preview", () => {
      const box = document.querySelector("tr.current input[type=checkbox]");
      const isPicked = () => document.querySelector("main input[name=id]:checked, main input[name=id][type=hidden]") !== null;
      if (box && !isPicked()) box.checked = true;
      if (isPicked()) document.querySelector("button[name=action][value=retry]")?.click();
    }],
    Escape: ["leaves the row, so that the page goes on following", () => {
      mark(null);
      document.activeElement?.blur();
    }],
    "?": ["shows these keys", () => help.showModal()],
  };

  const help = document.createElement("dialog");
  const build = () => {
    help.setAttribute("aria-labelledby", "keys-title");
    const title = document.createElement("h2");
    title.id = "keys-title";
    title.textContent = "Keys";
    const list = document.createElement("dl");
    list.className = "pairs";
    for (const [key, [what]] of Object.entries(keys)) {
      const term = document.createElement("dt");
      const shown = document.createElement("kbd");
      shown.textContent = key;
      term.append(shown);
      const text = document.createElement("dd");
      text.textContent = what;
      list.append(term, text);
    }
    const choice = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = hasKeys();
    box.addEventListener("change", () => {
      if (box.checked) localStorage.removeItem("keys");
      else localStorage.setItem("keys", "off");
    });
    choice.append(box, " Keys are on (? works always)");
    const form = document.createElement("form");
    form.method = "dialog";
    const close = document.createElement("button");
    close.textContent = "Close";
    form.append(close);
    help.append(title, list, choice, form);
    document.body.append(help);
  };

  const hasKeys = () => localStorage.getItem("keys") !== "off";

  document.addEventListener("keydown", (event) => {
    if (!hasKeys() && event.key !== "?") return;
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = keys[event.key];
    // Enter on a link or a button is theirs.
    if (!key || (event.key === "Enter" && event.target.matches("a, button, summary, input"))) return;
    event.preventDefault();
    key[1]();
  });

  // ---- Forms ----

  // A URL that is sent to somebody has no fields that are empty.
  document.addEventListener("formdata", (event) => {
    if (event.target.method !== "get") return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });

  const boxes = () => [...document.querySelectorAll("main .pick input[type=checkbox]")];

  // Selects all of a page; it is of no use without a script.
  const addSelectAll = (within = document) => {
    const head = within.querySelector(".deliveries thead th:has(> .unseen:only-child)");
    if (!head) return;
    const label = document.createElement("label");
    const all = document.createElement("input");
    all.type = "checkbox";
    all.autocomplete = "off";
    all.setAttribute("aria-label", "Select all on this page");
    all.addEventListener("change", () => { for (const box of boxes()) box.checked = all.checked; });
    label.className = "all";
    label.append(all);
    head.replaceChildren(label);
    head.classList.add("pick");
  };

  build();
  addSelectAll();
  if (location.hash === "#match") document.getElementById("match")?.focus();
  tellTimes();
  setInterval(tellTimes, 1000);
  follow();
})();
