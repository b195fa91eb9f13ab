// What makes the console nicer to use. Every page works without it.
"use strict";

const MOST_ROWS = 500;

/** Shows the fields for a time of one's own only when that is what is chosen. */
function foldTimeRange() {
  const select = document.querySelector('select[name="range"]');
  const fields = document.querySelector(".custom-range");
  if (!select || !fields) return;
  const fold = () => fields.classList.toggle("folded", select.value !== "custom");
  select.addEventListener("change", () => {
    fold();
    if (select.value === "custom") fields.querySelector("input").focus();
    else select.form.requestSubmit();
  });
  fold();
}

/** Searches as soon as something is chosen. */
function searchOnChoice() {
  for (const field of document.querySelectorAll('.filters input[type="checkbox"], .filters select:not([name="range"])')) {
    field.addEventListener("change", () => field.form.requestSubmit());
  }
}

/** Leaves empty fields out of the address. */
function shortenAddress() {
  const form = document.querySelector(".filters");
  if (!form) return;
  form.addEventListener("formdata", (event) => {
    const custom = event.formData.get("range") === "custom";
    for (const [name, value] of [...event.formData]) {
      if (value === "" || (!custom && (name === "from" || name === "to"))) event.formData.delete(name);
    }
    if (event.formData.get("range") === "24h") event.formData.delete("range");
  });
}

/** `/` goes to the search field, as in many tools. */
function searchKey() {
  const field = document.querySelector('input[type="search"]');
  if (!field) return;
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  });
}

/** New events come to the top of the table while Live is pressed. */
function liveView() {
  const button = document.getElementById("live");
  const rows = document.getElementById("rows");
  const state = document.getElementById("live-state");
  if (!button || !rows || !window.EventSource) return;
  let source = null;
  let again = 0;
  let last = "";

  function show(html) {
    const holder = document.createElement("template");
    holder.innerHTML = html; // made by the service, which escapes all that is put into it
    const row = holder.content.querySelector("tr");
    if (!row || document.getElementById(row.id)) return false;
    row.classList.add("new");
    rows.prepend(row);
    while (rows.rows.length > MOST_ROWS) rows.lastElementChild.remove();
    return true;
  }

  function open() {
    const address = button.dataset.address + (button.dataset.address.includes("?") ? "&" : "?");
    source = new EventSource(last ? `${address}after=${encodeURIComponent(last)}` : address);
    source.addEventListener("rows", (event) => {
      last = event.lastEventId;
      const shown = JSON.parse(event.data).filter(show).length;
      if (!shown) return;
      const empty = document.getElementById("empty");
      if (empty) empty.remove();
      const total = document.getElementById("total");
      const count = Number(total.textContent.replace(/\D/g, "")) + shown;
      total.textContent = count.toLocaleString("en").replaceAll(",", "\u202f");
      state.textContent = `${shown} new`;
    });
    source.addEventListener("quiet", (event) => { last = event.lastEventId; });
    source.addEventListener("open", () => button.classList.remove("waiting"));
    source.addEventListener("error", () => {
      button.classList.add("waiting");
      // A browser gives up by itself when the answer is an error; the service may only be starting.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(open, 5000);
    });
  }

  function toggle(on) {
    clearTimeout(again);
    if (source) source.close();
    source = null;
    button.setAttribute("aria-pressed", String(on));
    state.textContent = on ? "Live: new events appear as they come." : "";
    if (on) open();
  }

  button.hidden = false;
  button.addEventListener("click", () => toggle(button.getAttribute("aria-pressed") !== "true"));
  window.addEventListener("pagehide", () => toggle(false));
}

/** Figures that the page did not wait for come when they are counted. */
async function lateFigures() {
  const figures = document.getElementById("figures");
  if (!figures || !figures.dataset.address) return;
  const answer = await fetch(figures.dataset.address, { credentials: "same-origin", redirect: "error" }).catch(() => null);
  if (answer && answer.ok) figures.innerHTML = await answer.text(); // made by the service, which escapes what is put into it
}

foldTimeRange();
searchOnChoice();
shortenAddress();
searchKey();
liveView();
lateFigures();
