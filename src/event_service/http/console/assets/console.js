// What htmx leaves to do. Every page works without either.
"use strict";

const MOST_ROWS = 500;

/** `/` goes to the search field, as in many tools. */
document.addEventListener("keydown", (event) => {
  const field = document.querySelector('input[type="search"]');
  if (!field || event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, select, textarea")) return;
  event.preventDefault();
  field.focus();
  field.select();
});

/** A time of one's own is typed before it is searched for. */
document.addEventListener("change", (event) => {
  if (event.target.name !== "range" || event.target.value !== "custom") return;
  event.stopPropagation();
  document.querySelector('input[name="from"]').focus();
}, true);

/** Results that could not be had are looked for as a page, which says why. */
for (const failure of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(failure, ({ detail }) => {
    if (detail.target.id === "results") location.assign(detail.pathInfo.finalRequestPath);
  });
}

/** A live row that is there already does not come again; others are counted, and the last ones make room. */
document.addEventListener("htmx:sseBeforeMessage", (event) => {
  const { type, data, lastEventId } = event.detail;
  const [rows, total, state] = ["rows", "total", "state"].map((id) => document.getElementById(id));
  const connection = rows.closest("[sse-connect]");
  const address = new URL(connection.getAttribute("sse-connect"), location.href);
  if (lastEventId) address.searchParams.set("after", lastEventId); // for a new connection, once the browser has given this one up
  connection.setAttribute("sse-connect", address.href);
  if (type !== "row") return;
  if (document.getElementById(/id="(.+?)"/.exec(data)[1])) return event.preventDefault();
  while (rows.rows.length >= MOST_ROWS) rows.lastElementChild.remove();
  total.textContent = (Number(total.textContent.replace(/\D/g, "")) + 1).toLocaleString("en").replaceAll(",", "\u202f");
  state.textContent = `${(parseInt(state.textContent, 10) || 0) + 1} new`;
});

/** The dot of the Live button says whether there is a connection. */
for (const [event, isWaiting] of [["htmx:sseError", true], ["htmx:sseOpen", false]]) {
  document.addEventListener(event, () => document.getElementById("live")?.classList.toggle("waiting", isWaiting));
}
