// Tips of charts: the mark that is nearest to the mouse or the finger, or the one that arrow keys reach.
{
  const REACH = 28; // pixels on the screen
  const bubble = document.body.appendChild(document.createElement("div"));
  bubble.className = "tip";
  bubble.setAttribute("role", "status");
  let shown = null;

  const corners = (path) => [...path.getAttribute("d").matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)].map((found) => [+found[1], +found[2]]);
  const value = (node, name) => +node.getAttribute(name);

  /** The marks of a chart that have tips: its node, its words and its points, or its box. */
  const marksOf = (svg) => {
    const marks = [];
    for (const title of svg.querySelectorAll("title")) {
      const node = title.parentNode, mark = { node, words: title.textContent };
      title.remove(); // or the browser would show a second tip
      if (node.tagName === "circle") mark.points = [[value(node, "cx"), value(node, "cy")]];
      else if (node.tagName === "path") mark.points = corners(node);
      else {
        mark.box = ["x", "y", "width", "height"].map((name) => value(node, name));
        mark.points = [[mark.box[0] + mark.box[2] / 2, mark.box[1]]];
      }
      marks.push(mark);
    }
    for (const node of svg.querySelectorAll("[data-tips]")) {
      const points = corners(node);
      node.dataset.tips.split("\n").forEach((words, at) => marks.push({ node, words, points: [points[at]] }));
    }
    return marks.sort((a, b) => a.points[0][0] - b.points[0][0]);
  };

  /** The distance from a line through the points, and the place on it that is nearest. */
  const distance = (mark, x, y) => {
    if (mark.box) {
      const [left, top, width, height] = mark.box;
      const inside = x >= left && x <= left + width && y >= top && y <= top + height;
      return { far: inside ? 0 : Infinity, place: mark.points[0] };
    }
    const { points } = mark;
    let best = { far: Infinity };
    for (let at = 0; at < points.length; at++) {
      const [x0, y0] = points[at], [x1, y1] = points[Math.min(at + 1, points.length - 1)];
      const [dx, dy] = [x1 - x0, y1 - y0], length = dx * dx + dy * dy;
      const share = length ? Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / length)) : 0;
      const place = [x0 + share * dx, y0 + share * dy], far = Math.hypot(x - place[0], y - place[1]);
      if (far < best.far) best = { far, place };
    }
    return best;
  };

  const hide = () => {
    if (!shown) return;
    shown.mark.node.classList.remove("at");
    shown.ring?.remove();
    bubble.textContent = "";
    shown = null;
  };

  const show = (svg, mark, place, byKeys = false) => {
    if (shown?.mark !== mark) {
      hide();
      shown = { svg, mark };
      bubble.textContent = mark.words;
      if (mark.box || mark.points.length > 1) mark.node.classList.add("at");
      else {
        shown.ring = svg.appendChild(document.createElementNS(svg.namespaceURI, "circle"));
        for (const [name, set] of [["class", "ring"], ["cx", place[0]], ["cy", place[1]], ["r", 6]]) shown.ring.setAttribute(name, set);
      }
    }
    Object.assign(shown, { place, byKeys });
    const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    const [x, y] = [box.left + place[0] * scale, box.top + place[1] * scale];
    const { offsetWidth: width, offsetHeight: height } = bubble, edge = document.documentElement.clientWidth;
    const left = Math.max(4, Math.min(x - width / 2, edge - width - 4));
    const top = y - height - 12 > 4 ? y - height - 12 : y + 16;
    bubble.style.transform = `translate(${left}px, ${top}px)`;
  };

  const ready = (svg) => (svg.marks ??= marksOf(svg));

  const point = (svg, event) => {
    const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    const [x, y] = [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale];
    let best = { far: Infinity };
    for (const mark of ready(svg)) {
      const found = distance(mark, x, y);
      if (found.far < best.far) best = { ...found, mark };
    }
    if (best.far * scale <= REACH) show(svg, best.mark, best.place);
    else hide();
  };

  const step = (svg, event) => {
    if (event.key === "Escape") return hide();
    const marks = ready(svg), last = marks.length - 1, at = shown?.svg === svg ? marks.indexOf(shown.mark) : -1;
    const to = { ArrowRight: Math.min(at + 1, last), ArrowLeft: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(svg, marks[to], marks[to].points[marks[to].points.length >> 1], true);
  };

  for (const svg of document.querySelectorAll("svg[role=img]")) {
    if (!svg.querySelector("title, [data-tips]")) continue;
    svg.classList.add("tipped");
    svg.tabIndex = 0;
    svg.setAttribute("aria-description", "Arrow keys show the values one by one.");
    for (const name of ["pointerenter", "pointermove", "pointerdown"]) svg.addEventListener(name, (event) => point(svg, event));
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
    svg.addEventListener("keydown", (event) => step(svg, event));
    svg.addEventListener("blur", hide);
  }
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest("svg.tipped")) hide(); });
  // Focus by keyboard scrolls a chart into view: its tip moves along, and the next arrow key goes on from there.
  const scrolled = () => { if (shown?.byKeys) show(shown.svg, shown.mark, shown.place, true); else hide(); };
  document.addEventListener("scroll", scrolled, { passive: true, capture: true });
}
