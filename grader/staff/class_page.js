"use strict";
// The table of students: sorted by a click on a title, found by typing, walked with keys. Everything is text; nothing is made into markup.
const body = document.querySelector("#class tbody");
const rows = Array.from(body.rows);
const find = document.querySelector("#find"), looks = document.querySelector("#looks");
let here = null;

function visible() {
  return Array.from(body.rows).filter((row) => !row.hidden);
}

function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const found = words.every((word) => row.dataset.find.includes(word));
    row.hidden = !found || (looks.checked && !row.lastElementChild.textContent);
    count += !row.hidden;
  }
  document.querySelector("#shown").textContent = `${count} of ${rows.length}`;
  if (here && here.hidden) go(null);
}

function go(row) {
  if (here) here.classList.remove("here");
  here = row;
  if (!row) return;
  row.classList.add("here");
  row.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const all = visible();
  const at = all.indexOf(here);
  go(all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))] ?? null);
}

function value(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
}

function sort(title, column) {
  const order = title.ariaSort === "ascending" ? "descending" : "ascending";
  for (const other of title.parentElement.cells) other.ariaSort = "none";
  title.ariaSort = order;
  const sign = order === "ascending" ? 1 : -1;
  const compare = new Intl.Collator(undefined, { numeric: true }).compare;
  rows.sort((a, b) => {
    const x = value(a, column), y = value(b, column);
    return sign * (typeof x === "number" ? x - y : compare(x, y));
  });
  body.append(...rows);
}

function look(words) {
  find.value = words;
  filter();
  find.scrollIntoView({ block: "start" });
}

document.querySelectorAll("#class th").forEach((title, column) => {
  title.firstElementChild.addEventListener("click", () => sort(title, column));
});
document.querySelectorAll("button.find").forEach((button) => {
  button.addEventListener("click", () => look(button.dataset.find));
});
find.addEventListener("input", filter);
looks.addEventListener("change", filter);
document.querySelector("#names").addEventListener("change", (event) => {
  document.body.classList.toggle("names", event.target.checked);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape") {
    looks.checked = false;
    look("");
    find.blur();
  } else if (event.target === find) {
    if (event.key === "Enter") { find.blur(); step(0); }
  } else if (event.target.closest("button, a, input, summary")) {
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    find.focus();
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  } else if (event.key === "Enter" && here) {
    here.querySelector("a")?.click();
  }
});
