// --------------------------------------------------------------------------------------------------------- Pan and zoom
// What is too small to be read is not written: from afar modules have one name each, as large as it must be.

let asked = 0;
function move() {
  if (!scene) return;
  scene.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
  svg.dataset.zoom = far() ? "far" : 11 * view.scale < 9 ? "middle" : "near";
  if (!asked) asked = requestAnimationFrame(() => { asked = 0; names(); minimap(); repaint(); });
}
function repaint() {  // of a crowd, what has come into view
  if (!crowd || !painted_) return;
  const [x0, y0, x1, y1] = frameOfView(0), [a0, b0, a1, b1] = painted_.near;
  if (painted_.bulk !== far() || (!painted_.bulk && (x0 < a0 || y0 < b0 || x1 > a1 || y1 > b1))) { paint(); move(); }
}
function names() {
  const g = $("names");
  if (!far()) { g.replaceChildren(); return; }
  const size = 12 / view.scale, taken = [], out = [], [x0, y0, x1, y1] = frameOfView();
  const free = (r) => taken.every((t) => r.x + r.w <= t.x || t.x + t.w <= r.x || r.y + r.h <= t.y || t.y + t.h <= r.y);
  for (const item of things) {
    if (hiding(item) || out.length > 200 || item.ax > x1 || item.ax + item.w < x0 || item.ay > y1 || item.ay + item.h < y0) continue;
    const text = item.box ? item.name : item.label, wide = width(text, BOLD) * 12 / 13 / view.scale, thumbs = item.thumbs && !item.open ? item.thumbs.length * (THUMB + 6) : 0;
    const r = {x: item.ax + (item.w - thumbs - wide) / 2, y: item.ay + (item.open ? 2 : (item.h - size * 1.3) / 2), w: wide, h: size * 1.3};
    if (item.w - thumbs < wide * 0.9 || item.h < size * 1.1 || !free(r)) continue;
    taken.push(r);
    out.push(make("text", {x: r.x + wide / 2, y: r.y + size, "text-anchor": "middle", "font-size": size}, text));
  }
  g.replaceChildren(...out);
}
function zoom(factor, x = svg.clientWidth / 2, y = svg.clientHeight / 2) {
  const scale = Math.max(0.005, Math.min(6, view.scale * factor)), f = scale / view.scale;
  view = {x: x - (x - view.x) * f, y: y - (y - view.y) * f, scale};
  move();
  const box = factor > 1 && view.scale > 2 && atPoint((x - view.x) / view.scale, (y - view.y) / view.scale);
  if (box && box.box && !box.open) swing(box, true);  // who looks this closely wants to see what is inside
}
function fit() {
  if (!nodes.length) return;
  const w = svg.clientWidth, h = svg.clientHeight - 24 - $("legend").offsetHeight;
  const scale = Math.min(1.6, Math.max(0.005, Math.min((w - 40) / root.w, (h - 30) / root.h)));
  view = {scale, x: (w - root.w * scale) / 2, y: Math.max(14, (h - root.h * scale) / 2)};
  move();
}
function start() {  // the whole graph if it can be read so, else its top in readable size
  fit();
  if (view.scale < 0.83) { view.scale = Math.min(0.95, Math.max(0.83, (svg.clientWidth - 40) / root.w)); view.y = 18; centre(shownAs(nodes[0])); }
}
function centre(item) {  // across: the graph if it fits, else the item
  const room = svg.clientWidth, wide = root.w * view.scale, x = room / 2 - (item.ax + item.w / 2) * view.scale;
  view.x = wide < room - 36 ? (room - wide) / 2 : Math.min(18, Math.max(room - 18 - wide, x));
  move();
}
function reveal(item) {
  const it = shownAs(item), x = view.x + (it.ax + it.w / 2) * view.scale, y = view.y + (it.ay + Math.min(it.h, 80) / 2) * view.scale;
  const w = svg.clientWidth, h = svg.clientHeight, side = Math.min(40, w / 5), end = Math.min(30, h / 5);
  if (x < side || x > w - side) view.x += w / 2 - x;
  if (y < end || y > h - end) view.y += h / 2 - y;
  move();
  if (crowd && !byId.has(it.id)) { if (far()) { view.scale = 1; view.x = w / 2 - (it.ax + it.w / 2); view.y = h / 2 - it.ay; } paint(); move(); }
}

// The map: everything, and what of it is in view.
const map = $("map"), sketched = document.createElement("canvas");
let mapScale = 1, framed = "";
function sketch() {
  const dpr = window.devicePixelRatio || 1;
  mapScale = Math.min(150 / root.w, 110 / root.h);
  const w = Math.max(24, root.w * mapScale), h = Math.max(18, root.h * mapScale);
  sketched.width = w * dpr; sketched.height = h * dpr;
  map.width = sketched.width; map.height = sketched.height;
  map.style.width = `${w}px`; map.style.height = `${h}px`;
  const c = sketched.getContext("2d");
  c.scale(dpr * mapScale, dpr * mapScale);
  const probe = document.createElement("span");
  document.body.append(probe);
  const resolve = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const rule = resolve("line");
  framed = resolve("grad");
  const ink = Object.fromEntries(["input", "parameter", "constant", "operation", "output", "module"].map((kind) => [kind, resolve(`${kind}-line`)]));
  probe.remove();
  c.lineWidth = 1 / mapScale;
  c.strokeStyle = rule;
  for (const item of things) {
    if (item.box && item.open) { if (!hiding(item)) c.strokeRect(item.ax, item.ay, item.w, item.h); continue; }
    c.fillStyle = ink[item.box ? "module" : item.kind] || ink.operation;
    c.fillRect(item.ax, item.ay, Math.max(item.w, 1.5 / mapScale), Math.max(item.h, 1.5 / mapScale));
  }
}
function minimap() {
  const [x, y, X, Y] = frameOfView(0), whole = x <= 0 && y <= 0 && X >= root.w && Y >= root.h;
  map.hidden = whole || svg.clientWidth < 420;
  if (map.hidden) return;
  const c = map.getContext("2d"), dpr = window.devicePixelRatio || 1, s = mapScale * dpr;
  c.clearRect(0, 0, map.width, map.height);
  c.drawImage(sketched, 0, 0);
  c.strokeStyle = framed; c.lineWidth = 2 * dpr;
  const a = Math.max(1, x * s), b = Math.max(1, y * s);
  c.strokeRect(a, b, Math.max(3, Math.min(map.width - 1, X * s) - a), Math.max(3, Math.min(map.height - 1, Y * s) - b));
}
function mapTo(event) {
  view.x = svg.clientWidth / 2 - event.offsetX / mapScale * view.scale;
  view.y = svg.clientHeight / 2 - event.offsetY / mapScale * view.scale;
  move();
}
map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); mapTo(event); });
map.addEventListener("pointermove", (event) => { if (event.buttons) mapTo(event); });

const pointers = new Map();
let dragged = false;
svg.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.offsetX, event.offsetY); }, {passive: false});
svg.addEventListener("pointerdown", (event) => { pointers.set(event.pointerId, event); dragged = false; });
window.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
  if (!dragged && Math.hypot(dx, dy) < 4) return;
  dragged = true;
  svg.classList.add("moving");
  if (pointers.size === 2) {
    const other = [...pointers.values()].find((p) => p.pointerId !== event.pointerId), box = svg.getBoundingClientRect();
    const away = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY);
    zoom(away(event) / Math.max(1, away(before)), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
  } else { view.x += dx; view.y += dy; move(); }
  pointers.set(event.pointerId, event);
});
for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, (event) => { pointers.delete(event.pointerId); svg.classList.remove("moving"); });
function atPoint(x, y) {  // the innermost thing there
  return things.filter((item) => !hiding(item) && x >= item.ax && x <= item.ax + item.w && y >= item.ay && y <= item.ay + item.h).pop() || null;
}
const itemAt = (event) => {
  const g = event.target.closest("[data-id]");
  if (g) return g.dataset.id[0] === "n" ? nodes[+g.dataset.id.slice(1)] : boxes.get(g.dataset.id.slice(2));
  return crowd && event.offsetX !== undefined ? atPoint((event.offsetX - view.x) / view.scale, (event.offsetY - view.y) / view.scale) : null;
};
svg.addEventListener("click", (event) => {
  if (dragged) return;
  const item = itemAt(event);
  if (item && item.box && event.target.closest(".unfold")) unfold(item);
  else if (item && item.box && event.target.closest(".toggle")) swing(item);
  else if (item) select(item);
});
svg.addEventListener("dblclick", (event) => { const item = itemAt(event); if (item && item.box && !event.target.closest(".unfold")) swing(item); });

function swing(box, open = !box.open) { box.open = open; return staying(box); }  // open or close
function unfold(run, folded = !run.folded) { run.folded = folded; return staying(run); }  // all equal blocks, or the first for all
async function staying(box) {  // drawn again, with the box's corner staying where it is
  const x = box.ax, y = box.ay;
  await draw();
  view.x += (x - box.ax) * view.scale; view.y += (y - box.ay) * view.scale;
  move();
  select(box, false);
}
