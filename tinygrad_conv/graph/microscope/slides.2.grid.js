// ------------------------------------------------------------------------------------------------------------------ Drawing
// A grid of numbers on a canvas. Cells that have room for a number show it; smaller ones show it as a colour of the palette.

const READABLE = 30, SMALLEST = 9;  // a cell of so many pixels shows a number, in a font of at least so many
const resolved = {}, scales = {};
function inks() {
  const style = getComputedStyle(document.documentElement), probe = document.createElement("span");
  document.body.append(probe);
  for (const name of ["ink", "rule", "input", "parameter", "product", "output", "pad", "grad", "accent"]) {
    probe.style.color = `var(--${name})`;
    resolved[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  for (const name of ["signed", "inks", "fault"]) scales[name] = style.getPropertyValue(`--${name}`).trim().split(/\s+/).map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
}
function short(v) {
  if (!Number.isFinite(v)) return String(v);
  if (Number.isInteger(v) && Math.abs(v) < 1e5) return String(v).replace("-", "−");
  const a = Math.abs(v);
  return (a !== 0 && (a < 0.01 || a >= 1e4) ? v.toExponential(0) : v.toFixed(a < 10 ? 2 : a < 100 ? 1 : 0)).replace("-", "−");
}
function said(v) { return String(+v.toPrecision(!$("digits").checked ? 4 : data.dtype === "float32" ? 9 : 17)).replace("-", "−"); }
function shade(v, most, signed) {  // 0 is in the middle of the scale, or at its start where nothing is below 0
  if (!Number.isFinite(v)) return scales.fault[0];
  const list = signed ? scales.signed : scales.inks, t = most ? Math.min(1, Math.max(0, signed ? (v / most + 1) / 2 : v / most)) : signed ? 0.5 : 0;
  const place = t * (list.length - 1), k = Math.min(list.length - 2, Math.floor(place));
  return list[k].map((c, n) => Math.round(c + (list[k + 1][n] - c) * (place - k)));
}
function css([r, g, b]) { return `rgb(${r},${g},${b})`; }
function sized(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale; canvas.height = height * scale;
  canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return context;
}
// value(r, c) and fill(r, c) say what is in a cell, undefined where nothing is; marks are framed, and one of them is hot.
function grid(canvas, rows, columns, {value, fill, marks = [], point = null, room, most = 0, signed = true}) {
  const size = Math.max(3, Math.min(38, Math.floor(room / Math.max(rows, columns)))), small = size < READABLE;
  const context = sized(canvas, columns * size + 4, rows * size + 4);
  context.translate(2, 2);
  context.textAlign = "center"; context.textBaseline = "middle";
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const v = value(r, c), colour = fill(r, c);
      if (v === undefined && colour === null) continue;
      const shaded = v !== undefined && small && colour !== "pad";
      context.fillStyle = shaded ? css(shade(v, most, signed)) : resolved[colour];
      context.fillRect(c * size, r * size, size, size);
      if (size >= 9 && !(shaded && size < 18)) { context.strokeStyle = resolved.rule; context.lineWidth = 1; context.strokeRect(c * size + 0.5, r * size + 0.5, size - 1, size - 1); }
      if (v !== undefined && !small) {
        for (let px = 13; px >= SMALLEST; px--) {
          context.font = `${px}px system-ui, sans-serif`;
          if (px === SMALLEST || context.measureText(short(v)).width <= size - 3) break;
        }
        context.fillStyle = resolved.ink;
        context.fillText(short(v), c * size + size / 2, r * size + size / 2 + 1);
      }
    }
  context.strokeStyle = resolved.grad;
  const rs = marks.map(([r]) => r), cs = marks.map(([, c]) => c), [r0, c0] = [Math.min(...rs), Math.min(...cs)];
  const [tall, wide] = [Math.max(...rs) - r0 + 1, Math.max(...cs) - c0 + 1];
  context.lineWidth = 2.5;
  if (marks.length && tall * wide === marks.length) context.strokeRect(c0 * size, r0 * size, wide * size, tall * size);  // one block: one frame
  else { context.lineWidth = small ? 1.5 : 2.5; for (const [r, c] of marks) context.strokeRect(c * size + 1, r * size + 1, size - 2, size - 2); }
  if (point) { context.strokeStyle = resolved.accent; context.lineWidth = 3; context.strokeRect(point[1] * size - 0.5, point[0] * size - 0.5, size + 1, size + 1); }
  canvas.cell = size;
  return small;
}
function bar(canvas, most, signed, on) {  // the scale beside a map that is shown in colours
  canvas.hidden = canvas.nextSibling.hidden = !on;
  if (!on) return;
  const context = sized(canvas, 120, 8);
  for (let k = 0; k < 120; k++) { context.fillStyle = css(shade(signed ? (k / 119 * 2 - 1) * (most || 1) : k / 119 * (most || 1), most || 1, signed)); context.fillRect(k, 0, 1, 8); }
  canvas.nextSibling.textContent = ` ${signed ? `${short(-most)} to ` : "0 to "}${short(most)}`;
}
function extent(list) { let most = 0, signed = false; for (const v of list) if (Number.isFinite(v)) { most = Math.max(most, Math.abs(v)); signed = signed || v < 0; } return [most, signed]; }
