// What htmx does not do. Every page works without scripts.
"use strict";

const MAX_ROWS = 500;

/** `/` focuses the search field. */
document.addEventListener("keydown", (event) => {
  const field = document.querySelector('input[type="search"]');
  if (!field || event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, select, textarea")) return;
  event.preventDefault();
  field.focus();
  field.select();
});

/** A custom time range is searched only once it is typed. */
document.addEventListener("change", (event) => {
  if (event.target.name !== "range" || event.target.value !== "custom") return;
  event.stopPropagation();
  document.querySelector('input[name="from"]').focus();
}, true);

/** A failed request for results is repeated as a page, which shows the error. */
for (const failure of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(failure, ({ detail }) => {
    if (detail.target.id === "results") location.assign(detail.pathInfo.finalRequestPath);
  });
}

/** Skip live rows that are shown already, count new ones, and remove the oldest beyond MAX_ROWS. */
document.addEventListener("htmx:sseBeforeMessage", (event) => {
  const { type, data, lastEventId } = event.detail;
  const [rows, total, state] = ["rows", "total", "state"].map((id) => document.getElementById(id));
  const connection = rows.closest("[sse-connect]");
  const address = new URL(connection.getAttribute("sse-connect"), location.href);
  if (lastEventId) address.searchParams.set("after", lastEventId); // so that a new connection resumes here
  connection.setAttribute("sse-connect", address.href);
  if (type !== "row") return;
  if (document.getElementById(/id="(.+?)"/.exec(data)[1])) return event.preventDefault();
  while (rows.rows.length >= MAX_ROWS) rows.lastElementChild.remove();
  total.textContent = (Number(total.textContent.replace(/\D/g, "")) + 1).toLocaleString("en").replaceAll(",", "\u202f");
  state.textContent = `${(parseInt(state.textContent, 10) || 0) + 1} new`;
});

/** The checkbox above a table selects all of its rows. */
document.addEventListener("change", ({ target }) => {
  if (target.id !== "all") return;
  for (const pick of target.closest("table").querySelectorAll('input[name="alert"]')) pick.checked = target.checked;
});

/** Times since a moment, as `age` in view_models.py. */
setInterval(() => {
  for (const time of document.querySelectorAll("time.age")) {
    const seconds = Math.max(Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000), 0);
    const [unit, length] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].find(([, least]) => seconds >= least) ?? ["s", 1];
    time.textContent = `${Math.floor(seconds / length)} ${unit}`;
  }
}, 15_000);

/** The dot of the Live button shows the state of the connection. */
for (const [event, isWaiting] of [["htmx:sseError", true], ["htmx:sseOpen", false]]) {
  document.addEventListener(event, () => document.getElementById("live")?.classList.toggle("waiting", isWaiting));
}
