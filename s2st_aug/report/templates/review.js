"use strict";
const $ = (id) => document.getElementById(id);
const key = "s2st-aug review " + data.run;
const stored = load();
let decisions = stored.decisions;
let shown = data.items.slice();
let at = 0;

function load() {
  const empty = { reviewer: "", decisions: [] };
  try { return Object.assign(empty, JSON.parse(localStorage.getItem(key) || "{}")); } catch { return empty; }
}
function keep() {
  try { localStorage.setItem(key, JSON.stringify({ reviewer: $("reviewer").value, decisions })); } catch { /* private windows keep nothing */ }
  $("count").textContent = decisions.length;
}
function standing(variant, object) {
  const mine = decisions.filter((d) => d.variant_id === variant && d.object_id === object);
  const last = mine[mine.length - 1];
  return last && last.decision !== "undo" ? last.decision : null;
}
function decide(decision, object = null) {
  const reviewer = $("reviewer").value.trim();
  if (!reviewer) { $("reviewer").focus(); $("said").textContent = "Write the reviewer's name first."; return; }
  const item = shown[at];
  decisions.push({ variant_id: item.variant_id, object_id: object, decision, reviewer, time: new Date().toISOString(), reason: $("reason").value.trim() || null });
  keep();
  $("said").textContent = decision + ": " + (object === null ? item.scene_id + ", " + item.domain : "label " + object);
  object === null && decision !== "undo" && at < shown.length - 1 ? go(1) : show();
}
function cell(row, text, tag = "td") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (tag === "th") made.scope = "row";
  row.append(made);
  return made;
}
function objectRow(item, box) {
  const row = document.createElement("tr");
  cell(row, box.category, "th"); cell(row, box.verdict); cell(row, box.reason || "");
  const actions = cell(row, "");
  const held = standing(item.variant_id, box.object_id);
  for (const decision of ["accept", "reject", "ignore", "undo"]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = decision;
    button.setAttribute("aria-label", decision + " " + box.category + " " + box.object_id);
    button.setAttribute("aria-pressed", String(held === decision));
    button.addEventListener("click", () => decide(decision, box.object_id));
    actions.append(button, " ");
  }
  return row;
}
function rectangle(box) {
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("class", "v-" + box.verdict);
  for (const [name, value] of [["x", box.x], ["y", box.y], ["width", box.w], ["height", box.h]]) rect.setAttribute(name, value);
  return rect;
}
function number(value) { return value === null ? "n/a" : value.toFixed(2); }
function show() {
  const item = shown[at];
  if (!item) { $("title").textContent = "Nothing to show"; return; }
  $("title").textContent = `${at + 1} of ${shown.length}: ${item.scene_id}, ${item.domain}`;
  $("facts").textContent = `${item.status}${item.reasons.length ? " (" + item.reasons.join("; ") + ")" : ""}; strength ${number(item.strength)}, structure ${number(item.structure)}`;
  const source = data.sources[item.source_image];
  $("compare").classList.toggle("alone", !source);
  $("before").hidden = !source;
  if (source) $("before").src = source;
  $("before").alt = "Source image of " + item.scene_id;
  if (item.image) $("after").src = item.image;
  $("after").alt = item.domain + " variant of " + item.scene_id;
  $("why").hidden = !item.why;
  if (item.why) $("reason-picture").src = item.why;
  $("boxes").replaceChildren(...item.boxes.filter((box) => box.drawn).map(rectangle));
  $("objects").replaceChildren(...item.boxes.map((box) => objectRow(item, box)));
  const held = standing(item.variant_id, null);
  for (const button of document.querySelectorAll("[data-decision]")) button.setAttribute("aria-pressed", String(button.dataset.decision === held));
}
function go(step) {
  at = Math.min(Math.max(at + step, 0), shown.length - 1);
  $("reason").value = "";
  show();
}
function filter() {
  const wanted = $("filter").value;
  shown = data.items.filter((i) => !wanted || i.domain === wanted || i.status === wanted || (wanted === "undecided" && !standing(i.variant_id, null)));
  at = 0;
  show();
}
function save() {
  const text = JSON.stringify({ schema: 1, run: data.run, decisions }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "decisions.json";
  link.click();
  $("said").textContent = decisions.length + " decisions saved to decisions.json";
}
for (const name of [...new Set(data.items.flatMap((i) => [i.domain, i.status])), "undecided"]) $("filter").append(new Option(name, name));
for (const button of document.querySelectorAll("[data-decision]")) button.addEventListener("click", () => decide(button.dataset.decision));
$("reviewer").value = stored.reviewer;
$("reviewer").addEventListener("change", keep);
$("filter").addEventListener("change", filter);
$("save").addEventListener("click", save);
$("next").addEventListener("click", () => go(1));
$("previous").addEventListener("click", () => go(-1));
$("slider").addEventListener("input", (e) => $("compare").style.setProperty("--x", e.target.value + "%"));
$("labels").addEventListener("change", (e) => document.body.classList.toggle("no-labels", !e.target.checked));
const keys = { a: () => decide("accept"), r: () => decide("reject"), u: () => decide("undo"), j: () => go(1), k: () => go(-1), l: () => $("labels").click() };
document.addEventListener("keydown", (e) => {
  if (e.target.matches("input[type=text], select") || e.ctrlKey || e.metaKey || e.altKey) return;
  const act = keys[e.key];
  if (act) { e.preventDefault(); act(); }
});
keep();
show();
