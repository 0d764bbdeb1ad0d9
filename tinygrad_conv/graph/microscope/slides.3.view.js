// --------------------------------------------------------------------------------------------------------------- One view
// Input, kernel, products, sum, bias and output beside each other; below, what the other channels add, and all filters.

const extents = {x: extent(x), w: w ? extent(w) : [1, false], y: extent(y)};
const THUMBS = 256;
function tag(name, attributes = {}, ...children) { const e = Object.assign(document.createElement(name), attributes); e.append(...children); return e; }
const slice = (k) => {
  const [channel, offset] = seen(k), front = deep ? `${offset}, ` : "";
  if (dense) return `w[:, ${at.channel}]`;
  return transposed ? `w[${front}:, :, ${at.channel % data.w_channels[0]}, ${channel}]` : `w[${front}:, :, ${deep ? channel % each : k % data.per_group}, ${at.channel}]`;
};
function rooms() {  // how large maps and kernels may be, so that everything is in view
  if (innerWidth < 760) return {map: innerWidth - 40, kernel: Math.min(innerWidth - 40, 200)};
  const high = innerHeight - document.querySelector("header").offsetHeight - $("below").offsetHeight - 84, wide = (innerWidth - 330) / 2;
  const map = Math.max(150, Math.min(high, wide, 460));
  return {map, kernel: Math.max(72, Math.min(200, (map - 56) / (largest ? 1 : 2)))};
}
function build() {
  for (let c = 0; c < data.shown; c++) $("channel").append(tag("option", {value: c}, String(c)));
  if (data.channels > data.shown) $("channel-label").append(` first ${data.shown} of ${data.channels}`);
  $("channel-label").hidden = data.shown < 2;
  if (largest) for (const id of ["kernel-figure", "times"]) $(id).hidden = true;
  if (w) {
    const n = Math.min(data.shown, THUMBS);
    $("filters-title").textContent = `${dense ? "The weights of all units" : "All filters"}${n < data.channels ? `: ${n} of ${data.channels}` : ""}`;
    for (let c = 0; c < n; c++) {
      const b = tag("button", {type: "button", title: `filter ${c}`}, tag("canvas"));
      b.setAttribute("aria-label", `Filter ${c}`);
      b.onclick = () => { pause(); at.channel = c; $("channel").value = c; show(); };
      $("filters").append(b);
    }
  } else $("filters-part").hidden = true;
  if (data.levels.length) {
    $("levels").append(tag("h2", {}, "Receptive field: what this output depends on"));
    for (const level of data.levels) {
      level.canvas = tag("canvas"); level.caption = tag("figcaption");
      level.canvas.setAttribute("role", "img");
      $("levels").append(tag("figure", {}, level.caption, level.canvas));
    }
  }
}
function show(all = true) {  // or only what pointing changes
  inks();
  const found = terms(), room = rooms(), g = gradient ? gradient[(at.y * ow + at.x) * data.shown + at.channel] : 1;
  at.row = Math.min(at.row, found.length - 1);
  const {k, cells, sum} = found[at.row], by = new Map(cells.map((cell, t) => [`${cell.i} ${cell.j}`, t])), on = new Map(cells.map((cell, t) => [`${cell.py} ${cell.px}`, t]));
  const pointed = hot >= 0 && hot < cells.length ? cells[hot] : null, padded = [H + pads[0][0] + pads[0][1], W + pads[1][0] + pads[1][1]];
  const place = (row, column) => [row - pads[0][0], column - pads[1][0]], inside = (py, px) => py >= 0 && py < H && px >= 0 && px < W;
  const kept = (t, what) => t === undefined ? undefined : what(cells[t]), winner = cells.findIndex((cell) => cell.factor);
  grid.cells = {on, by};
  $("input-title").textContent = backward ? `dL/dx, ${channelName(k)}` : dense ? `x, ${H * W} values in rows` : `x, ${channelName(k)} (${H}×${W}${padded[0] > H || padded[1] > W ? " and padding" : ""})`;
  const back = extent(cells.map((cell) => g * cell.factor));
  const small = grid($("input"), ...padded, {room: room.map, most: backward ? back[0] : extents.x[0], signed: backward || extents.x[1],
    value: (row, column) => { const [py, px] = place(row, column); return backward ? kept(on.get(`${py} ${px}`), (cell) => cell.inside ? g * cell.factor : undefined) : inside(py, px) ? x[(py * W + px) * data.in_channels + k] : w ? 0 : undefined; },
    fill: (row, column) => inside(...place(row, column)) ? "input" : "pad",
    marks: cells.map((cell) => [cell.py + pads[0][0], cell.px + pads[1][0]]), point: pointed && [pointed.py + pads[0][0], pointed.px + pads[1][0]]});
  bar($("input-bar"), backward ? back[0] : extents.x[0], backward || extents.x[1], small);
  const point = pointed && [pointed.i, pointed.j];
  if (!largest) {
    $("kernel-title").textContent = backward && w ? `dL/d${slice(k)}` : w ? `kernel ${slice(k)}` : "shares";
    grid($("kernel"), kh, kw, {room: room.kernel, most: backward ? extent(cells.map((cell) => g * cell.value))[0] : extents.w[0], signed: Boolean(w), point, marks: transposed ? cells.map((cell) => [cell.i, cell.j]) : [],
      value: (i, j) => { const t = by.get(`${i} ${j}`); if (backward && w) return kept(t, (cell) => g * cell.value); return t !== undefined ? cells[t].factor : w ? weight(i, j, k, at.channel) : undefined; },
      fill: (i, j) => by.has(`${i} ${j}`) || w ? "parameter" : "pad"});
  }
  $("products-title").textContent = largest ? (backward ? "what each gets of g" : "the window: the greatest counts") : "products";
  grid($("products"), kh, kw, {room: room.kernel, point, most: extent(cells.map((cell) => largest ? cell.value : cell.product))[0], signed: true, marks: largest && winner >= 0 ? [[cells[winner].i, cells[winner].j]] : [],
    value: (i, j) => kept(by.get(`${i} ${j}`), (cell) => largest ? (backward ? g * cell.factor : cell.value) : cell.product), fill: (i, j) => by.has(`${i} ${j}`) ? "product" : "pad"});
  $("products-figure").hidden = $("equals").hidden = backward && !largest;
  $("times").hidden = largest;
  $("times").textContent = backward ? "and" : "×";
  $("sum").textContent = backward ? "" : largest ? `max ${short(Math.max(...cells.map((cell) => cell.value)))}` : `sum ${said(sum)}`;
  $("input").setAttribute("aria-label", `Input ${channelName(k)}, ${cells.length} cells read`);
  $("kernel").setAttribute("aria-label", `Kernel for ${channelName(k)}`);
  $("products").setAttribute("aria-label", largest ? `The window of ${channelName(k)}` : `Products of ${channelName(k)}, together ${said(sum)}`);
  const shape = dense ? [Math.ceil(data.shown / across), across] : [oh, ow];
  $("output-title").textContent = `${dense ? `y, ${data.channels} outputs` : `y, channel ${at.channel} (${oh}×${ow})`}${data.then ? `, before ${data.then}` : ""}`;
  const tiny = grid($("output"), ...shape, {room: room.map, most: extents.y[0], signed: extents.y[1], marks: dense ? [[Math.floor(at.channel / across), at.channel % across]] : [[at.y, at.x]],
    value: (r, c) => !dense ? output(r, c, at.channel) : r * across + c < data.shown ? output(0, 0, r * across + c) : undefined, fill: (r, c) => !dense || r * across + c < data.shown ? "output" : null});
  bar($("output-bar"), ...extents.y, tiny);
  if (all) say(found, g);
  for (const term of document.querySelectorAll(".term")) term.classList.toggle("hot", term.term === hot);
  if (!all) return;
  channels(found);
  filters(k);
  levels();
}
function say(found, g) {
  const bias = added ? (added.length === data.shown ? added[at.channel] : added[(at.y * ow + at.x) * data.shown + at.channel]) : null;
  const held = output(at.y, at.x, at.channel), cells = found.flatMap((f) => f.cells), sum = total(cells.map((cell) => cell.product));
  const all = [...cells.map((cell) => cell.product), ...(bias === null ? [] : [bias])], rounding = total([held, ...all.map((v) => -v)]);
  const name = `y[${[deep ? data.z : null, data.out[0] > 1 || data.out[1] > 1 ? `${at.y}, ${at.x}` : null, at.channel].filter((v) => v !== null).join(", ")}]`;
  const b = (text) => tag("b", {}, text), first = found[at.row].cells, written = found.length === 1 || cells.length <= 36;
  const each_ = (written ? cells : first).flatMap((cell, n) => {
    const t = written ? n - cells.indexOf(first[0]) : n;
    const text = largest ? short(cell.value) : `${short(cell.value)}·${cell.factor < 0 ? `(${short(cell.factor)})` : short(cell.factor)}`;
    return [...(n ? [largest ? ", " : " + "] : []), Object.assign(tag("span", {className: "term"}, text), {term: t})];
  });
  const few = first.length <= 64 ? each_ : [];
  const small = tag("span", {className: "terms"}, ...(few.length && !largest ? [...few, written ? " = " : ` + ${found.length - 1} more channels = `] : largest && few.length ? ["max(", ...few, ") = "] : []));
  const out = backward
    ? [b(`g = dL/d${name} = ${said(g)}`), gradient ? ". " : " (a unit: no loss was given). ", w ? `It adds g × kernel to the gradient of the patch, and g × patch to the gradient of the kernel${bias === null ? "" : ", and g to that of the bias"}.` : largest ? "All of it goes to the greatest." : "It is shared out equally."]
    : [b(`${name} = `), small, b(said(largest ? held : sum)), ...(bias === null ? [] : [" + bias ", b(said(bias))]),
      ...(!largest && $("digits").checked && rounding && Number.isFinite(rounding) ? [` + rounding in ${data.dtype} ${rounding.toExponential(2).replace("-", "−")}`] : []),
      ...(largest ? [] : [" = ", b(said(held))]), data.computed ? "." : ", which the tensor holds."];
  $("equation").replaceChildren(...out);
  $("equation").dataset.sum = sum + (bias || 0);
  $("equation").dataset.held = held;
  $("output").setAttribute("aria-label", `Output channel ${at.channel}; chosen: row ${at.y}, column ${at.x}, value ${said(held)}`);
}
function channels(found) {  // what each of the input's channels adds; the one that is shown is pressed
  $("channels-part").hidden = found.length < 2;
  if (found.length < 2) return;
  $("channels-title").textContent = `Sums of the ${found.length} ${deep ? "slices and channels" : "channels"} that are read`;
  $("channels").replaceChildren(...found.slice(0, THUMBS).map(({k, sum}, row) => {
    const b = tag("button", {type: "button", onclick: () => { pause(); at.row = row; show(); }}, `${channelName(k).replace("channel ", "")}: ${short(sum)}`);
    b.setAttribute("aria-pressed", row === at.row);
    b.setAttribute("aria-label", `${channelName(k)}: ${short(sum)}`);
    return b;
  }));
}
function filters(k) {
  if (!w) return;
  [...$("filters").children].forEach((b, c) => {
    const size = Math.max(1, Math.floor(34 / Math.max(kh, kw))), canvas = b.firstChild, context = sized(canvas, kw * size, kh * size);
    const of = transposed || data.groups === 1 ? k : inputChannels(c)[at.row];
    for (let i = 0; i < kh; i++) for (let j = 0; j < kw; j++) { context.fillStyle = css(shade(weight(i, j, of, c), extents.w[0], true)); context.fillRect(j * size, i * size, size, size); }
    b.setAttribute("aria-pressed", c === at.channel);
  });
}
function levels() {
  for (const level of data.levels) {
    const codes = level.bytes = level.bytes || Uint8Array.from(atob(level.codes), (ch) => ch.charCodeAt(0)), scale = Math.max(1, Math.floor(150 / Math.max(level.h, level.w)));
    const canvas = level.canvas, context = sized(canvas, level.w * scale, level.h * scale);
    for (let r = 0; r < level.h; r++) for (let c = 0; c < level.w; c++) { context.fillStyle = css(shade(codes[r * level.w + c], 255, false)); context.fillRect(c * scale, r * scale, scale, scale); }
    const span = (s, o, n) => s ? [Math.max(0, Math.ceil(s[0] * o + s[1])), Math.min(n - 1, Math.floor(s[0] * o + s[2]))] : [0, n - 1];
    const [y0, y1] = span(level.spans[0], at.y, level.h), [x0, x1] = span(level.spans[1], at.x, level.w);
    context.strokeStyle = resolved.grad; context.lineWidth = 3;
    context.strokeRect(x0 * scale + 1.5, y0 * scale + 1.5, Math.max(1, (x1 - x0 + 1) * scale - 3), Math.max(1, (y1 - y0 + 1) * scale - 3));
    level.caption.textContent = `${level.name} ${level.shape}: ${Math.max(0, y1 - y0 + 1)}×${Math.max(0, x1 - x0 + 1)}`;
    canvas.setAttribute("aria-label", `Receptive field: rows ${y0} to ${y1}, columns ${x0} to ${x1} of ${level.name}`);
  }
}
