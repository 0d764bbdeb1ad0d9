// ------------------------------------------------------------------------------------------------- Buttons and the keys

function focus(item) { const g = byId.get(shownAs(item).id); if (g) g.focus({preventScroll: true}); }
async function everything(open) { for (const box of boxes.values()) if (box !== root) { box.open = open; if (box.kind === "repeat") box.folded = !open; } await draw(); start(); }
const ASKS = 400;  // things that a reader may not have meant to see at once
$("open-all").onclick = () => {
  if (nodes.length <= ASKS) { everything(true); return; }
  $("ask-text").textContent = `This lays out ${count(nodes.length, "node")} in ${count(boxes.size - 1, "box").replace("boxs", "boxes")}. From afar they are specks; zoom in to read them.`;
  $("ask-yes").textContent = `Open all ${many(nodes.length)}`;
  $("ask").showModal();
};
$("ask-yes").onclick = () => { $("ask").close(); everything(true); };
$("ask-no").onclick = () => $("ask").close();
$("close-all").onclick = () => everything(false);
$("zoom-in").onclick = () => zoom(1.25);
$("zoom-out").onclick = () => zoom(0.8);
$("fit").onclick = fit;
$("theme").onclick = () => { const dark = getComputedStyle(document.documentElement).colorScheme === "dark" || (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches); document.documentElement.dataset.theme = dark ? "light" : "dark"; sketch(); minimap(); };
$("help").onclick = () => { const hidden = $("help-text").hidden; $("help-text").hidden = !hidden; $("help").setAttribute("aria-expanded", hidden); };
if (boxes.size === 1) $("open-all").hidden = $("close-all").hidden = true;

// The switches: what colours mean, and what is written on the cards.
$("color").value = color;
$("color").onchange = async () => { color = $("color").value; await draw(); if (selected && !stepping) details(selected); };
const SHOWS = {shape: "shapes", options: "options", params: "parameters", values: "values", gradients: "gradients", dtype: "dtypes", flops: "FLOPs", bytes: "bytes", time: "time", source: "source lines"};
for (const [name, text] of Object.entries(SHOWS)) {
  const box = make("input", {type: "checkbox", id: `show-${name}`, "aria-label": text});
  box.checked = shown.has(name);
  box.onchange = () => { if (box.checked) shown.add(name); else shown.delete(name); draw(); };
  $("shows").append(make("label", {}, box, text));
}
const exactly = make("input", {type: "checkbox", id: "exact", "aria-label": "all digits"});
exactly.onchange = () => { exact = exactly.checked; draw(); if (stepping) stepDetails(); else if (selected) details(selected); };
$("shows").append(make("label", {}, exactly, "all digits"));
$("legend").open = shown.has("legend") && innerWidth > 600;

function along(key) {  // the neighbour in a direction: an input above, a user below, the nearest beside
  const here = selected ? shownAs(selected) : shownAs(nodes[0]);
  if (!selected) return here;
  const x = here.ax + here.w / 2, y = here.ay + here.h / 2;
  const linked = drawn.flatMap((edge) => edge.run ? [] : key === "ArrowUp" && edge.to === here ? [edge.from] : key === "ArrowDown" && edge.from === here ? [edge.to] : []);
  const pool = linked.length ? linked : things.filter((item) => !hiding(item));
  const cost = (item) => {
    const dx = item.ax + item.w / 2 - x, dy = item.ay + Math.min(item.h, 60) / 2 - y;
    const forward = {ArrowUp: -dy, ArrowDown: dy, ArrowLeft: -dx, ArrowRight: dx}[key];
    return item === here || (!linked.length && forward < 4) ? Infinity : key === "ArrowUp" || key === "ArrowDown" ? Math.abs(dy) + 2 * Math.abs(dx) : Math.abs(dx) + 3 * Math.abs(dy);
  };
  const best = pool.reduce((a, b) => cost(b) < cost(a) ? b : a, here);
  return cost(best) < Infinity ? best : here;
}
document.addEventListener("keydown", (event) => {
  if (!nodes.length || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || ["SELECT", "SUMMARY"].includes(event.target.tagName) || event.target.type === "checkbox") return;
  if (event.target === $("search")) { if (event.key === "Escape") { $("search").value = ""; search(""); const it = selected || nodes[0]; focus(it); } return; }
  const button = event.target.closest("button");
  const keys = {
    "/": () => $("search").focus(), s: () => go(at + 1), b: () => go(at - 1), Home: () => $("reset").click(), "?": () => $("help").click(),
    a: () => { if (selected && selected.kind === "repeat") unfold(selected); },
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit,
    Escape: () => { if (!$("help-text").hidden) $("help").click(); else select(null); },
  };
  if (event.target.closest("#panel") && event.key.startsWith("Arrow")) return;
  if (event.key.startsWith("Arrow")) { const next = along(event.key); select(next, false); reveal(next); focus(next); }
  else if (event.key === "Enter" && !button && selected) { if (selected.box) { swing(selected); focus(selected); } else { details(selected); $("panel").focus(); } }
  else if (event.key === " " && !button) $("play").click();
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});
svg.addEventListener("focusin", (event) => { const item = itemAt(event); if (item && item !== selected && !pointers.size) select(item, false); });
window.addEventListener("resize", () => { if (crowd) paint(); move(); });

