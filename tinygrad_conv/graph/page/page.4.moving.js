// --------------------------------------------------------------------------------------------------------- Pan and zoom

function move() { if (scene) scene.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`); }
function zoom(factor, x = svg.clientWidth / 2, y = svg.clientHeight / 2) {
  const scale = Math.max(0.02, Math.min(6, view.scale * factor)), f = scale / view.scale;
  view = {x: x - (x - view.x) * f, y: y - (y - view.y) * f, scale};
  move();
}
function fit() {
  const w = svg.clientWidth, h = svg.clientHeight - 50;
  const scale = Math.min(1.6, Math.max(0.02, Math.min((w - 40) / root.w, (h - 30) / root.h)));
  view = {scale, x: (w - root.w * scale) / 2, y: Math.max(14, (h - root.h * scale) / 2)};
  move();
}
function start() {  // the whole graph if it can be read so, else its top in readable size
  fit();
  if (view.scale < 0.55) { view.scale = Math.min(0.9, Math.max(0.55, (svg.clientWidth - 40) / root.w)); view.y = 18; centre(shownAs(nodes[0])); }
}
function centre(item) {  // across: the graph if it fits, else the item
  const room = svg.clientWidth, wide = root.w * view.scale, x = room / 2 - (item.ax + item.w / 2) * view.scale;
  view.x = wide < room - 36 ? (room - wide) / 2 : Math.min(18, Math.max(room - 18 - wide, x));
  move();
}
function reveal(item) {
  const it = shownAs(item), x = view.x + (it.ax + it.w / 2) * view.scale, y = view.y + (it.ay + Math.min(it.h, 80) / 2) * view.scale;
  const w = svg.clientWidth, h = svg.clientHeight;
  if (x < 90 || x > w - 90) view.x += w / 2 - x;
  if (y < 60 || y > h - 90) view.y += h / 2 - y;
  move();
}
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
    const far = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY);
    zoom(far(event) / Math.max(1, far(before)), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
  } else { view.x += dx; view.y += dy; move(); }
  pointers.set(event.pointerId, event);
});
for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, (event) => { pointers.delete(event.pointerId); svg.classList.remove("moving"); });
const itemAt = (event) => { const g = event.target.closest("[data-id]"); return g ? (g.dataset.id[0] === "n" ? nodes[+g.dataset.id.slice(1)] : boxes.get(g.dataset.id.slice(2))) : null; };
svg.addEventListener("click", (event) => {
  if (dragged) return;
  const item = itemAt(event);
  if (item && item.box && event.target.closest(".toggle")) swing(item);
  else if (item) select(item);
});
svg.addEventListener("dblclick", (event) => { const item = itemAt(event); if (item && item.box) swing(item); });

function swing(box, open = !box.open) {  // open or close, with the box's corner staying where it is
  const x = box.ax, y = box.ay;
  box.open = open;
  draw();
  view.x += (x - box.ax) * view.scale; view.y += (y - box.ay) * view.scale;
  move();
  select(box, false);
}

