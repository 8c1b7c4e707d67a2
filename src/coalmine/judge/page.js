"use strict";
// The judge renders what is shown; this asks for it every second and changes only what differs, so that focus,
// selection, scrolling and opened parts stay as they are.
const main = document.getElementById("main"), live = document.getElementById("live"), gone = document.getElementById("gone");
let answered = null, asked = 0, timer = 0;

const keyOf = node => node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.dataset.metric || node.dataset.poll || node.id : "";
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function morph(old, fresh) {
  const wanted = [...fresh.childNodes];
  for (let i = 0; i < wanted.length; i++) {
    const want = wanted[i];
    let have = old.childNodes[i];
    const key = keyOf(want);
    if (have && key && !alike(have, want)) {
      const found = [...old.childNodes].slice(i).find(node => alike(node, want));
      if (found) { old.insertBefore(found, have); have = found; }
    }
    if (!have) old.append(want);
    else if (!alike(have, want)) key ? have.before(want) : have.replaceWith(want);
    else if (have.nodeType === Node.ELEMENT_NODE) { attributes(have, want); morph(have, want); }
    else if (have.data !== want.data) have.data = want.data;
  }
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

function attributes(old, fresh) {
  const mine = old.nodeName === "DETAILS" ? "open" : "";  // opened or closed by whoever looks
  for (const {name, value} of [...fresh.attributes]) if (name !== mine && old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const {name} of [...old.attributes]) if (name !== mine && !fresh.hasAttribute(name)) old.removeAttribute(name);
}

function local(root) {
  for (const time of root.querySelectorAll("time")) {
    const at = new Date(time.dateTime), dated = time.textContent.includes("-");
    time.title = time.textContent;
    time.textContent = dated ? at.toLocaleString() : at.toLocaleTimeString();
  }
}

async function refresh() {
  const turn = ++asked;
  clearTimeout(timer);
  try {
    const answer = await fetch("page" + location.search, {cache: "no-store", signal: AbortSignal.timeout(8000)});
    const text = await answer.text();
    if (turn !== asked) return;
    if (!answer.ok) throw new Error(answer.status === 404 ? "there is no such analysis" : `it says ${answer.status}`);
    const fresh = new DOMParser().parseFromString(`<main>${text}</main>`, "text/html").querySelector("main");
    local(fresh);
    morph(main, fresh);
    main.setAttribute("aria-busy", "false");
    answered = new Date();
    gone.hidden = true;
    live.textContent = "live, " + answered.toLocaleTimeString();
    const said = main.querySelector(".headline"), what = main.querySelector(".sentence");
    document.title = said && what ? `${said.textContent}: Coalmine judge` : "Coalmine judge";
  } catch (error) {
    if (turn !== asked) return;
    gone.textContent = `The judge does not answer (${error.message}). ` +
      (answered ? `What stands here is as of ${answered.toLocaleTimeString()}. ` : "") + "Asking again every second.";
    gone.hidden = false;
    live.textContent = "not live";
  }
  timer = setTimeout(refresh, document.hidden ? 5000 : 1000);
}

document.addEventListener("click", event => {
  const link = event.target.closest("a[href^='?']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const row = link.dataset.key?.startsWith("row-");
  history.pushState(null, "", link.getAttribute("href"));
  refresh().then(() => { if (row) scrollTo({top: 0}); });
});
addEventListener("popstate", refresh);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
