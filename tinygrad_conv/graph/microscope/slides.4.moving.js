// ------------------------------------------------------------------------------------------------------------------- Moving

function step(by) {
  const n = oh * ow, k = ((at.channel * n + at.y * ow + at.x + by) % (n * data.shown) + n * data.shown) % (n * data.shown);
  at.channel = Math.floor(k / n); at.y = Math.floor(k % n / ow); at.x = k % ow;
  $("channel").value = at.channel;
  show();
}
function moveTo(yy, xx) { at.y = Math.max(0, Math.min(oh - 1, yy)); at.x = Math.max(0, Math.min(ow - 1, xx)); show(); }
function point(t) { if (t !== hot) { hot = t; show(false); } }
function other(by) { const n = terms().length; at.row = (at.row + by + n) % n; show(); }
function pause() { clearInterval(timer); timer = null; $("play").textContent = "Play"; $("play").setAttribute("aria-pressed", "false"); $("equation").setAttribute("aria-live", "polite"); }
function play() { clearInterval(timer); timer = setInterval(() => step(1), 2400 / $("speed").value); $("play").textContent = "Pause"; $("play").setAttribute("aria-pressed", "true"); $("equation").setAttribute("aria-live", "off"); }
$("play").onclick = () => timer ? pause() : play();
$("speed").oninput = () => { if (timer) play(); };
$("digits").onchange = () => show();
$("next").onclick = () => { pause(); step(1); };
$("previous").onclick = () => { pause(); step(-1); };
$("channel").onchange = () => { at.channel = +$("channel").value; show(); };
$("direction").onclick = () => { backward = !backward; $("direction").setAttribute("aria-pressed", backward); show(); };
const cellAt = (event) => { const s = event.currentTarget.cell; return [Math.floor((event.offsetY - 2) / s), Math.floor((event.offsetX - 2) / s)]; };
$("output").onclick = (event) => { pause(); const [r, c] = cellAt(event);
  if (dense) { at.channel = Math.max(0, Math.min(data.shown - 1, r * across + c)); $("channel").value = at.channel; show(); return; }
  moveTo(r, c); };
// Pointing at a cell points at its weight, its product and its term too.
const found = (t) => point(t === undefined ? -1 : t);
$("input").onpointermove = (event) => { const [r, c] = cellAt(event); found(grid.cells.on.get(`${r - pads[0][0]} ${c - pads[1][0]}`)); };
for (const id of ["kernel", "products"]) $(id).onpointermove = (event) => found(grid.cells.by.get(cellAt(event).join(" ")));
$("equation").onpointermove = (event) => found(event.target.term);
for (const id of ["input", "kernel", "products", "equation"]) $(id).onpointerleave = () => point(-1);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || ["SELECT", "INPUT"].includes(event.target.tagName)) return;
  const side = (by) => dense ? step(by) : moveTo(at.y, at.x + by);
  const keys = {ArrowLeft: () => side(-1), ArrowRight: () => side(1), ArrowUp: () => moveTo(at.y - 1, at.x), ArrowDown: () => moveTo(at.y + 1, at.x),
    b: () => $("direction").click(), "]": () => step(oh * ow), "[": () => step(-oh * ow), ".": () => other(1), ",": () => other(-1)};
  if (event.key === " " && event.target.tagName !== "BUTTON") $("play").click();
  else if (keys[event.key]) { pause(); keys[event.key](); }
  else return;
  event.preventDefault();
});
window.addEventListener("resize", () => show());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show());
build();
show();
show();  // once more: now it is known how much room is left
if (!data.still && !matchMedia("(prefers-reduced-motion: reduce)").matches) play();
document.documentElement.dataset.ready = "true";
