// The map to play on. Gradio gives `element`, `trigger` and `props`; props.board is what `board.for_page` makes.
const NS = "http://www.w3.org/2000/svg";
const WIDTH = 640, HEIGHT = 440, MARGIN = 18;
const SNAP = 12; // nearer than this a touch is of the sound itself
const MOST = 3; // sounds that a place between them is made of
const EVERY_MS = 90;
const { titles, labels, places, legends, axes } = props.board;
const svg = element.querySelector("svg");
const [links, dots] = ["links", "dots"].map((name) => svg.querySelector("." + name));
const cursor = svg.querySelector(".cursor");
const now = element.querySelector(".now");
const points = places.map(([x, y]) => [MARGIN + x * (WIDTH - 2 * MARGIN), MARGIN + (1 - y) * (HEIGHT - 2 * MARGIN)]);
let at = null; // where the map is touched
let pressed = null;
let sent = 0;

const make = (name, attributes, parent) => {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
};
const circles = points.map(([cx, cy], index) => {
  const circle = make("circle", { cx, cy, r: points.length > 150 ? 5 : 6.5, class: "class-10" }, dots);
  make("title", {}, circle).textContent = labels[index] ? titles[index] + "; " + labels[index] : titles[index];
  return circle;
});

// Shepard's weights of the nearest sounds (Franke and Little's, which fall to 0 at the next one): they change without
// a jump as the pointer moves.
const shares = ([x, y]) => {
  const near = points.map(([a, b], index) => [index, Math.hypot(a - x, b - y)]).sort((a, b) => a[1] - b[1]);
  if (near[0][1] < SNAP) return [[near[0][0], 1]];
  const some = near.slice(0, MOST);
  const reach = near.length > MOST ? near[MOST][1] : 2 * some.at(-1)[1];
  const weights = some.map(([index, far]) => [index, Math.max((reach - far) / (reach * far), 1e-9) ** 2]);
  const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
  return weights.map(([index, weight]) => [index, weight / total]).filter(([, share]) => share >= 0.01);
};

const show = (parts) => {
  links.replaceChildren();
  cursor.setAttribute("cx", at[0]);
  cursor.setAttribute("cy", at[1]);
  for (const [index, share] of parts.length > 1 ? parts : []) {
    const [x2, y2] = points[index];
    make("line", { x1: at[0], y1: at[1], x2, y2, "stroke-opacity": 0.15 + 0.85 * share }, links);
  }
  const percent = (share) => (parts.length > 1 ? " " + Math.round(100 * share) + " %" : "");
  now.textContent = parts.map(([index, share]) => titles[index] + percent(share)).join(", ");
};

const touch = (place, settled) => {
  at = place;
  const parts = shares(at);
  if (parts.length === 1) at = points[parts[0][0]];
  show(parts);
  if (!settled && performance.now() - sent < EVERY_MS) return;
  sent = performance.now();
  props.value = JSON.stringify({ shares: parts, settled });
  trigger("input");
};

const place = (event) => {
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [Math.min(Math.max(x, 0), WIDTH), Math.min(Math.max(y, 0), HEIGHT)];
};
const nearest = ([x, y]) => {
  const far = points.map(([a, b]) => Math.hypot(a - x, b - y));
  return points[far.indexOf(Math.min(...far))];
};

svg.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  svg.setPointerCapture(event.pointerId);
  const [x, y] = place(event), [a, b] = nearest([x, y]);
  pressed = { x: event.clientX, y: event.clientY, moved: false };
  touch(Math.hypot(a - x, b - y) < 2 * SNAP ? [a, b] : [x, y], true);
});
svg.addEventListener("pointermove", (event) => {
  if (!pressed) return;
  pressed.moved ||= Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > 4;
  if (pressed.moved) touch(place(event), false);
});
for (const name of ["pointerup", "pointercancel"])
  svg.addEventListener(name, (event) => {
    if (pressed?.moved) touch(place(event), true);
    pressed = null;
  });

// The sound that lies most nearly in a direction.
const beyond = (dx, dy) => {
  const ahead = points
    .map(([x, y]) => [x, y, (x - at[0]) * dx + (y - at[1]) * dy, Math.abs((x - at[0]) * dy - (y - at[1]) * dx)])
    .filter(([, , along, aside]) => along > 0.5 && aside <= 1.2 * along)
    .sort((a, b) => a[2] + 2 * a[3] - (b[2] + 2 * b[3]));
  return ahead.length ? ahead[0].slice(0, 2) : null;
};
svg.addEventListener("keydown", (event) => {
  const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  if (!at) return touch(nearest([WIDTH / 2, HEIGHT / 2]), true);
  if (event.shiftKey) {
    const [x, y] = [at[0] + 2 * SNAP * step[0], at[1] + 2 * SNAP * step[1]];
    return touch([Math.min(Math.max(x, 0), WIDTH), Math.min(Math.max(y, 0), HEIGHT)], true);
  }
  const next = beyond(...step);
  if (next) touch(next, true);
});

const select = element.querySelector("select");
const list = element.querySelector(".classes");
const colour = () => {
  const { classes, of } = legends[select.value];
  circles.forEach((circle, index) => circle.setAttribute("class", "class-" + of[index]));
  list.replaceChildren(
    ...classes.map(([number, name]) => {
      const item = document.createElement("li");
      item.className = "class-" + number;
      item.textContent = name;
      return item;
    }),
  );
};
legends.forEach(({ label }, index) => select.append(new Option(label, index)));
select.addEventListener("change", colour);
if (legends.length) colour();
else select.parentElement.hidden = true;
["right", "up"].forEach((name, index) => {
  if (axes[index]) element.querySelector("." + name).textContent = ["→ ", "↑ "][index] + axes[index];
});
