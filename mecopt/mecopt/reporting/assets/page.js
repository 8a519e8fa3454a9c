"use strict";
// Charts are drawn when they come near the screen, and again when light turns to dark; tables sort and filter.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const specs = read("specs");
const drawn = new Map();
let chosen = [];

function theme() {
  // Variables of the page, so that paper is white also where the screen is dark.
  const [ink, soft, line] = ["var(--ink)", "var(--soft)", "var(--line)"];
  const words = { labelColor: ink, titleColor: ink };
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: { ...words, gridColor: line, domainColor: soft, tickColor: soft, titleFontWeight: "normal" },
    legend: words,
    title: { color: ink },
    text: { color: ink, fill: ink },
  };
}

async function draw(place) {
  const spec = structuredClone(specs[place.dataset.chart]);
  const done = await vegaEmbed(place, spec, { actions: false, renderer: "svg", config: theme(), tooltip: { theme: dark.matches ? "dark" : "light" } });
  drawn.get(place)?.finalize();
  drawn.set(place, done);
  place.dataset.drawn = "yes";
  highlight(done.view);
}

function highlight(view) {
  if ("chosen" in view.getState({ signals: (name) => name === "chosen" }).signals) {
    view.signal("chosen", chosen).runAsync();
  }
}

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting && !drawn.has(entry.target)) {
      drawn.set(entry.target, null);
      draw(entry.target);
    }
  }
}, { rootMargin: "400px" });
const places = [...document.querySelectorAll("[data-chart]")];
places.forEach((place) => near.observe(place));

// Whoever prints wants all of them: the rest is drawn while nothing else is to do, what is folded when it opens.
const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
function rest() {
  const next = places.find((place) => !drawn.has(place) && place.offsetParent !== null);
  if (!next) return void (document.documentElement.dataset.drawn = "all");
  drawn.set(next, null);
  draw(next).finally(() => idle(rest));
}
idle(rest);

for (const button of document.querySelectorAll(".key button")) {
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", on);
    chosen = [...document.querySelectorAll('.key button[aria-pressed="true"]')].map((b) => b.dataset.method);
    for (const done of drawn.values()) if (done) highlight(done.view);
  });
}

let DataTable;
async function tables() {
  const text = document.getElementById("datatables").textContent;
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  DataTable = (await import(address)).default;
  URL.revokeObjectURL(address);
  for (const table of document.querySelectorAll("table.sorts")) {
    new DataTable(table, { paging: false, searching: false, info: false, order: [], autoWidth: false });
  }
  runs();
}

function runs() {
  const data = read("runs-data");
  const columns = data.heads.map((title, i) => ({
    title,
    className: data.words[i] ? "word" : "number",
    render: data.words[i] ? DataTable.render.text() : shown,
  }));
  const rows = data.rows.map((row) => row.map((value, i) => (data.words[i] ? data.words[i][value] : value)));
  const api = new DataTable("#runs", {
    data: rows, columns, deferRender: true, autoWidth: false, pageLength: 25, order: [],
    language: { search: "Search", lengthMenu: "_MENU_ rows" },
  });
  // A list for each column of words, beside the search over all.
  for (const select of document.querySelectorAll("#filters select")) {
    const column = api.column(data.heads.indexOf(select.name));
    for (const value of data.words[data.heads.indexOf(select.name)]) select.add(new Option(value, value));
    select.addEventListener("change", () => {
      const exact = (text) => select.value === "" || text === select.value;
      column.search.fixed("list", exact).draw();
    });
  }
  document.getElementById("runs").dataset.drawn = "yes";
}

const shown = (value, kind) =>
  kind !== "display" || value === null ? value : value.toLocaleString("en", { maximumSignificantDigits: 6 });

function light() {
  document.documentElement.classList.toggle("dark", dark.matches); // DataTables looks for this class
}
light();
dark.addEventListener("change", () => {
  light();
  for (const place of [...drawn.keys()]) draw(place);
});
tables();
