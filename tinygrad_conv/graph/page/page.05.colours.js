// -------------------------------------------------------------------------------------------------------------- Colours
// What fills mean; one ramp of one hue for amounts, and blue, white, red about zero for numbers that have a sign.

const STEPS = 6;
let low = 0, high = 0;  // of the amounts that are to be seen
function amount(item) {
  if (color === "kind") return 0;
  if (color !== "gradients" && !item.box && !["operation", "module", "group"].includes(item.kind)) return 0;
  return item[AMOUNTS[color][1]] || 0;
}
function ranged(items) {
  const all = items.filter((item) => !(item.box && item.open)).map(amount).filter((a) => a > 0);
  low = Math.min(...all); high = Math.max(...all);
  if (!all.length) low = high = 0;
  low = Math.max(low, high / 1e6);
}
function fill(item) {  // a colour for a card; undefined where its kind says it
  if (color === "kind") return undefined;
  const a = amount(item);
  if (!(a > 0)) return "var(--paper)";
  const t = high > low ? Math.log(Math.max(a, low) / low) / Math.log(high / low) : 1;
  return `var(--cost-${Math.min(STEPS - 1, Math.floor(t * STEPS))})`;
}
function isDead(item) { return Boolean(item.alarm || (item.dead && !stepping && (color === "gradients" || shown.has("gradients")))); }

function legend() {
  const list = $("legend-list"), items = [];
  const swatch = (kind, look = {}) => make("svg", {viewBox: "0 0 18 12", "aria-hidden": "true"}, make("g", {class: kind}, make("rect", {class: "card", x: 1, y: 1, width: 16, height: 10, ...look})));
  const entry = (...parts) => items.push(make("li", {}, ...parts));
  if (color === "kind") {
    const round = {input: 5, output: 5, operation: 3, module: 3};
    for (const kind of ["input", "parameter", "constant", "operation", "output", "module"])
      if (kind === "module" ? boxes.size > 1 : nodes.some((node) => node.kind === kind)) entry(swatch(kind, {rx: round[kind] || 0}), kind === "module" ? "closed module" : kind);
    for (const [order, name] of [[1, "gradient"], [2, "second gradient"]]) if (nodes.some((node) => node.order === order)) entry(swatch(`operation order${order}`, {rx: 3}), name);
  } else if (high) {
    const [name, , say] = AMOUNTS[color];
    entry(`${name} from ${say(low)} `, ...Array.from({length: STEPS}, (_, k) => swatch("", {style: `fill:var(--cost-${k})`})), ` to ${say(high)}; unfilled: none`);
  } else entry(data.known.includes(color) || color === "cost" || color === "bytes" ? `no ${AMOUNTS[color][0]} to show` : `${AMOUNTS[color][0]}: not recorded`);
  if (showing().some(isDead)) entry(swatch("dead"), "no gradient, or numbers that are none");
  if ([...boxes.values()].some((box) => box.folded && box.round)) entry(make("svg", {viewBox: "0 0 18 12", "aria-hidden": "true"}, make("path", {class: "edge round", d: "M1 10C6 -2 12 -2 17 8"})), "goes round: to the next iteration");
  if (shown.has("gradients") && nodes.some((node) => thumbnails(node).includes("gradient"))) entry(make("svg", {viewBox: "0 0 18 12", "aria-hidden": "true"}, make("rect", {class: "frame grad", x: 1, y: 1, width: 16, height: 10})), "gradient");
  if (nodes.some((node) => thumbnails(node).length)) entry("images: blue below 0, white 0, red above; ink where no number is below 0");
  for (const note of data.notes) entry(note);
  list.replaceChildren(...items);
  $("legend").hidden = !items.length;
}

// Pictures: values on a scale of the palette: blue below 0, white at 0, red above; ink on paper where there is one sign.
const scales = {};
function stops(name) {  // of a scale: red, green and blue of each of its colours
  const text = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return scales[name] = scales[name] || text.split(/\s+/).map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
}
function colour(p, share) {  // of the way along its scale
  if (share === undefined) return [0, 0, 0, 0];
  if (isNaN(share)) return [...stops("fault")[0], 255];  // NaN or infinite
  const list = stops(p.signed ? "signed" : "inks"), place = share * (list.length - 1), k = Math.min(list.length - 2, Math.floor(place));
  return [...list[k].map((v, c) => Math.round(v + (list[k + 1][c] - v) * (place - k))), 255];
}
function paintPicture(p) {
  if (p.url) return p.url;
  if (p.leaf !== undefined) {  // the numbers themselves are here
    const values = unpacked().get(p.leaf), [, , peak] = data.numbers.leaves.find(([k]) => k === p.leaf);
    return p.url = painted(p.w, p.h, (k) => colour(p, p.signed ? (values[k] / peak + 1) / 2 : values[k] / peak));
  }
  const codes = integers(p.codes, 1), share = (code) => code < 90 ? code / 89 : code > 90 ? undefined : NaN;
  return p.url = painted(p.w, p.h, (k) => colour(p, share(codes[k])));
}
function painted(w, h, at) {  // an image of so many pixels, as an address that needs no network
  const canvas = document.createElement("canvas");
  canvas.width = w; canvas.height = h;
  const context = canvas.getContext("2d"), image = context.createImageData(w, h);
  for (let k = 0; k < w * h; k++) image.data.set(at(k), 4 * k);
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}
function scale(p) {
  p.bar = p.bar || painted(127, 1, (k) => colour(p, k / 126));
  return make("div", {class: "bar"}, minus(p.low), make("img", {src: p.bar, alt: `colours from ${p.low} to ${p.high}`}), minus(p.high));
}
