// -------------------------------------------------------------------------------------------------------------- Drawing

const svg = $("graph");
let drawn = [], byId = new Map(), view = {x: 0, y: 0, scale: 1}, scene = null;
let selected = null, matches = [], match = -1;

function draw() {
  const [edges, visible, ports] = connect();
  layout(root, edges);
  (function place(box, x, y) {
    box.ax = x; box.ay = y;
    for (const child of box.children) {
      child.ax = x + child.x - (child.box && child.open ? child.left : child.w / 2); child.ay = y + child.y;
      if (child.box && child.open) place(child, child.ax, child.ay);
    }
  })(root, 0, 0);
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.id : null;
  scene = make("g", {id: "scene"});
  byId = new Map();
  const cards = make("g"), titles = make("g", {class: "titles", "aria-hidden": "true"});
  const paint = (box) => {
    for (const child of box.children) {
      if (child.box && child.open) {
        scene.append(frame(child));
        titles.append(make("text", {class: child.depth % 2 ? "odd" : "", x: child.ax + 30, y: child.ay + 18, "font-size": 13}, title(child)));
        paint(child);
      } else cards.append(paintCard(child));
    }
  };
  paint(root);
  drawn = visible;
  for (const edge of drawn) { edge.path = make("path", {class: "edge", d: route(edge, ports), "marker-end": "url(#arrow)"}); scene.append(edge.path); }
  scene.append(cards, titles);
  svg.replaceChildren(make("defs", {}, make("marker", {id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto"}, make("path", {d: "M0 0.6 L8 4 L0 7.4 z"}))), scene);
  if (focused && byId.has(focused)) byId.get(focused).focus({preventScroll: true});
  move();
  refresh();
}
function end(item, side, from, ports, box) {
  if (item.port) return [box.ax + item.x, box.ay + item.y];
  if (item.box && item.open) { const p = ports.get(`${item.id} ${side} ${from.id}`); return [item.ax + p.x, item.ay + p.y]; }
  return [item.ax + item.w / 2, item.ay + (side === "out" ? item.h : 0)];
}
function route(edge, ports) {
  const points = [];
  const [, only] = edge.parts[0];
  if (edge.parts.length === 1 && only.beside) {
    const a = edge.from, b = edge.to, x = a.ax, y = a.ay + a.h / 2, to = b.ax + b.w, ty = Math.max(b.ay + 6, Math.min(b.ay + b.h - 6, y));
    return `M${x} ${y} C${(x + to) / 2} ${y} ${(x + to) / 2} ${ty} ${to} ${ty}`;
  }
  for (const [box, link] of edge.parts) {
    points.push(end(link.from, "out", edge.from, ports, box));
    for (const way of link.way || []) points.push([box.ax + way.x, box.ay + way.top], [box.ax + way.x, box.ay + way.bottom]);
    points.push(end(link.to, "in", edge.from, ports, box));
  }
  let d = `M${points[0]}`;
  for (let k = 1; k < points.length; k++) {
    const [x, y] = points[k - 1], [X, Y] = points[k];
    d += Math.abs(x - X) < 0.5 ? `L${X} ${Y}` : `C${x} ${(y + Y) / 2} ${X} ${(y + Y) / 2} ${X} ${Y}`;
  }
  return d;
}
function operable(g, item, label, expanded) {
  Object.entries({role: "button", tabindex: item === selected ? 0 : -1, "aria-label": label, "data-id": item.id,
    "data-node": item.box ? item.path : item.name}).forEach(([name, value]) => g.setAttribute(name, value));
  if (expanded !== undefined) g.setAttribute("aria-expanded", expanded);
  byId.set(item.id, g);
  return g;
}
function spoken(item) {
  const seen = [item.box ? item.name : item.label, ...lines(item)].join(" ");  // what is written on it comes first
  return item.box ? `${seen}, module` : [seen, item.name, item.kind, item.module && `in ${item.module}`].filter(Boolean).join(", ");
}
function frame(box) {
  const g = make("g", {class: `box ${box.depth % 2 ? "odd" : ""}`},
    make("rect", {x: box.ax, y: box.ay, width: box.w, height: box.h, rx: 9}),
    make("rect", {class: "header", x: box.ax, y: box.ay, width: box.w, height: HEADER, rx: 9, fill: "transparent", stroke: "none"}),
    toggle(box));
  return operable(g, box, spoken(box), true);
}
function toggle(box) {
  const x = box.ax + (box.open ? 17 : box.w - 17), y = box.ay + (box.open ? 13.5 : 15);
  return make("g", {class: "toggle"}, make("circle", {cx: x, cy: y, r: 7.5}), make("path", {d: `M${x - 4} ${y}H${x + 4}` + (box.open ? "" : `M${x} ${y - 4}V${y + 4}`)}));
}
function paintCard(item) {
  const x = item.ax, y = item.ay, kind = item.box ? "module" : item.kind;
  const round = {input: item.h / 2, output: item.h / 2, operation: 8, module: 8, group: 8}[kind] || 1;
  const g = make("g", {class: `node ${kind}`});
  if (item.box || kind === "module" || kind === "group") g.append(make("rect", {class: "card", x: x + 4, y: y + 4, width: item.w, height: item.h, rx: round}));
  g.append(make("rect", {class: "card", x, y, width: item.w, height: item.h, rx: Math.min(round, 18)}));
  const tw = item.w - item.slots * (THUMB + 6), name = item.box ? item.name : item.label;
  const cx = x + (item.slots ? tw / 2 + 2 : item.w / 2 - (item.box ? 9 : 0));
  let ty = y + (item.h - 15 - 14 * item.lines.length) / 2 + 12;
  g.append(make("text", {x: cx, y: ty, "text-anchor": "middle", "font-size": 13, "font-weight": 600}, name));
  for (const line of item.lines) g.append(" ", make("text", {class: "small", x: cx, y: ty += 14, "text-anchor": "middle", "font-size": 11}, line));
  ["value", "gradient"].filter((which) => picture(item, which)).forEach((which, k, both) => {
    const at = x + item.w - (both.length - k) * (THUMB + 6), top = y + (item.h - THUMB) / 2;
    const p = picture(item, which), fit = Math.min(THUMB / p.w, THUMB / p.h), w = Math.max(p.w * fit, 3), h = Math.max(p.h * fit, 3);
    g.append(make("rect", {class: "slot", x: at, y: top, width: THUMB, height: THUMB, rx: 2}),
      make("g", {class: which === "gradient" ? "thumbs late" : "thumbs"},
        make("image", {class: "thumb", href: paintPicture(p), x: at + (THUMB - w) / 2, y: top + (THUMB - h) / 2, width: w, height: h, preserveAspectRatio: "none"}),
        make("rect", {class: which === "gradient" ? "frame grad" : "frame", x: at, y: top, width: THUMB, height: THUMB, rx: 2})));
  });
  if (item.box) g.append(toggle(item));
  return operable(g, item, spoken(item), item.box ? false : undefined);
}

// Pictures: 8-bit values on a scale of the palette: blue below 0, white at 0, red above; ink on paper where there is one sign.
const scales = {};
function stops(name) {  // of a scale: red, green and blue of each of its colours
  const text = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return scales[name] = scales[name] || text.split(/\s+/).map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
}
function colour(p, code) {
  if (code === 255) return [0, 0, 0, 0];
  if (code === 254) return [...stops("fault")[0], 255];  // NaN or infinite
  const list = stops(p.signed ? "signed" : "inks"), place = code / 253 * (list.length - 1), k = Math.min(list.length - 2, Math.floor(place));
  return [...list[k].map((v, c) => Math.round(v + (list[k + 1][c] - v) * (place - k))), 255];
}
function paintPicture(p) {
  if (p.url) return p.url;
  const canvas = document.createElement("canvas");
  canvas.width = p.w; canvas.height = p.h;
  const context = canvas.getContext("2d"), image = context.createImageData(p.w, p.h), codes = atob(p.codes);
  for (let k = 0; k < codes.length; k++) image.data.set(colour(p, codes.charCodeAt(k)), 4 * k);
  context.putImageData(image, 0, 0);
  return p.url = canvas.toDataURL();
}
function scale(p) {
  if (!p.bar) {
    const canvas = document.createElement("canvas");
    canvas.width = 127; canvas.height = 1;
    const context = canvas.getContext("2d"), image = context.createImageData(127, 1);
    for (let k = 0; k < 127; k++) image.data.set(colour(p, 2 * k), 4 * k);
    context.putImageData(image, 0, 0);
    p.bar = canvas.toDataURL();
  }
  return make("div", {class: "bar"}, p.low, make("img", {src: p.bar, alt: `colours from ${p.low} to ${p.high}`}), p.high);
}

