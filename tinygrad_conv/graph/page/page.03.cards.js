// ---------------------------------------------------------------------------------------------------- What is on the cards

const THUMB = 38, HEADER = 26;
const measure = document.createElement("canvas").getContext("2d"), widths = new Map();
const BOLD = "600 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif", SMALL = BOLD.replace("600 13px", "11px");
function width(text, font) {
  const key = font + text;
  if (!widths.has(key)) { measure.font = font; widths.set(key, measure.measureText(text).width); }
  return widths.get(key);
}
function shortened(text) { return text.length > 40 ? text.slice(0, 39) + "…" : text; }
function whatOf(box) { return box.told ? `${box.what}(${box.told})` : box.what; }  // a module's class, and what it was told
function title(box) {
  const times = box.kind === "repeat" ? `×${many(box.blocks.length)}` : "";
  return [box.name, box.what && shortened(whatOf(box)), times].filter(Boolean).join(" ");
}

function lines(item) {  // under the name, each [text, class]
  const said = (name, text) => shown.has(name) && text ? [text] : [];
  const out = item.box ? (item.kind === "module" ? [item.what] : item.kind === "part" && item.what ? [shortened(item.what)] : [])
    : [item.alone];
  out.push(...said("options", item.options || item.told), ...said("shape", item.shape), item.note);
  if (item.n_params) out.push(...said("params", count(item.n_params, "param")));
  if (item.box) out.push(count(item.size, "node"));
  out.push(...said("dtype", item.dtype));
  for (const [name, field, say] of [AMOUNTS.cost, AMOUNTS.bytes, AMOUNTS.time]) if (item[field]) out.push(...said(name.toLowerCase(), say(item[field])));
  if (item.kind === "operation") out.push(...said("source", item.source));
  const found = out.filter(Boolean).map((text) => [shortened(text), "small"]);
  const value = !item.box && scalar(item, "value"), gradient = !item.box && scalar(item, "gradient");
  if (value && item.kind !== "constant" && (shown.has("values") || stepping)) found.push(["data " + minus(written(value)), "small data"]);
  if (gradient && (shown.has("gradients") || stepping)) found.push(["grad " + (stepping ? gradientText(item.k) : minus(written(gradient))), "small grad"]);
  const alarm = item.alarm || ((color === "gradients" || shown.has("gradients")) && !stepping ? item.dead : "");
  if (alarm) found.push([shortened(alarm), "alarm-text"]);
  return found;
}
function thumbnails(item) {
  const seen = [shown.has("values") && "value", (shown.has("gradients") || stepping) && "gradient"].filter(Boolean);
  return item.box ? [] : seen.filter((which) => item[which] !== undefined && data.pictures[item[which]].w);
}
function widest(item) {  // of what its gradient will be on the way
  const sums = [item.gradient, ...(item.arrivals || []).map(([, sum]) => sum)];
  return Math.max(...sums.map((k) => width("grad " + minus(written(data.pictures[k])), BOLD))) * 11 / 13;
}
function card(item) {
  item.lines = lines(item);
  item.thumbs = thumbnails(item);
  const name = item.box ? item.name + (item.kind === "repeat" ? ` ×${many(item.blocks.length)}` : "") : item.label;
  const text = Math.max(width(name, BOLD), ...item.lines.map(([line, look]) => look === "small grad" ? widest(item) : width(line, SMALL))) + 20 + (item.box ? 26 : 0);
  item.w = Math.ceil(Math.max(52, text) + item.thumbs.length * (THUMB + 6));
  item.h = Math.max(24 + 14 * item.lines.length + (item.lines.length ? 4 : 2), item.thumbs.length ? THUMB + 12 : 0);
  item.left = item.right = item.w / 2;
}
function spoken(item) {
  const seen = [item.box ? title(item) : item.label, ...lines(item).map(([text]) => text)].join(" ");  // what is written on it comes first
  return item.box ? `${seen}, ${item.kind}` : [seen, item.name, item.kind, item.module && `in ${item.module}`].filter(Boolean).join(", ");
}
