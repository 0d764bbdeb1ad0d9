// ------------------------------------------------------------------------------------------------- Buttons and the keys

function focus(item) { const g = byId.get(shownAs(item).id); if (g) g.focus({preventScroll: true}); }
function everything(open) { for (const box of boxes.values()) if (box !== root) box.open = open; draw(); start(); }
$("open-all").onclick = () => everything(true);
$("close-all").onclick = () => everything(false);
$("zoom-in").onclick = () => zoom(1.25);
$("zoom-out").onclick = () => zoom(0.8);
$("fit").onclick = fit;
$("theme").onclick = () => { const dark = getComputedStyle(document.documentElement).colorScheme === "dark" || (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches); document.documentElement.dataset.theme = dark ? "light" : "dark"; };
$("help").onclick = () => { const hidden = $("help-text").hidden; $("help-text").hidden = !hidden; $("help").setAttribute("aria-expanded", hidden); };
if (!data.modules.length && !root.children.some((child) => child.box)) $("open-all").hidden = $("close-all").hidden = true;

function along(key) {  // the neighbour in a direction: an input above, a user below, the nearest beside
  const here = selected ? shownAs(selected) : shownAs(nodes[0]);
  if (!selected) return here;
  const x = here.ax + here.w / 2, y = here.ay + here.h / 2;
  const linked = drawn.flatMap((edge) => key === "ArrowUp" && edge.to === here ? [edge.from] : key === "ArrowDown" && edge.from === here ? [edge.to] : []);
  const pool = linked.length ? linked : [...byId.keys()].map((id) => id[0] === "n" ? nodes[+id.slice(1)] : boxes.get(id.slice(2)));
  const cost = (item) => {
    const dx = item.ax + item.w / 2 - x, dy = item.ay + Math.min(item.h, 60) / 2 - y;
    const forward = {ArrowUp: -dy, ArrowDown: dy, ArrowLeft: -dx, ArrowRight: dx}[key];
    return item === here || (!linked.length && forward < 4) ? Infinity : key === "ArrowUp" || key === "ArrowDown" ? Math.abs(dy) + 2 * Math.abs(dx) : Math.abs(dx) + 3 * Math.abs(dy);
  };
  const best = pool.reduce((a, b) => cost(b) < cost(a) ? b : a, here);
  return cost(best) < Infinity ? best : here;
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === $("search")) { if (event.key === "Escape") { $("search").value = ""; search(""); const it = selected || nodes[0]; focus(it); } return; }
  const button = event.target.closest("button");
  const keys = {
    "/": () => $("search").focus(), s: () => go(at + 1), b: () => go(at - 1), Home: () => $("reset").click(), "?": () => $("help").click(),
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
window.addEventListener("resize", move);

