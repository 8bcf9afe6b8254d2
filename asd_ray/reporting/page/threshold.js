// The slider of a machine: it counts the clips above another threshold, and moves the lines in the pictures.
for (const part of document.querySelectorAll(".decide")) {
  const groups = JSON.parse(part.dataset.scores), quantiles = JSON.parse(part.dataset.quantiles);
  const own = Number(part.dataset.threshold);
  const scores = [...new Set(groups.flatMap((group) => Object.values(group).flat()))].sort((a, b) => a - b);
  const home = scores.filter((score) => score <= own).length; // each step of the slider moves one score across the threshold
  const [slider, output, button] = ["input", "output", "button"].map((name) => part.querySelector(name));
  const percentile = part.querySelector(".percentile");
  const lines = [...part.closest(".panel").querySelectorAll("[data-limit]")].map((line) => {
    const [along, ...numbers] = line.dataset.limit.split(" ");
    return { line, along, numbers: numbers.map(Number) };
  });

  const limitAt = (place) => {
    if (place === home) return own;
    const [below, above] = [scores[place - 1] ?? scores[0] - 1, scores[place] ?? scores[scores.length - 1] + 1];
    return place === 0 ? above - Math.abs(above) * 1e-6 - 1e-9 : place === scores.length ? below : (below + above) / 2;
  };
  const shown = (limit) => limit.toFixed(3).replace("-", "−");

  const percentileOf = (limit) => {
    const last = quantiles.length - 1, at = quantiles.findIndex((score) => score > limit);
    if (at === 0 || at < 0) return null; // beyond all normal clips, where no percentile leads to
    const share = at - 1 + (limit - quantiles[at - 1]) / (quantiles[at] - quantiles[at - 1]);
    return Math.min(99.9, Math.max(0.1, (100 * share) / last)).toFixed(1);
  };

  const move = (limit) => {
    for (const { line, along, numbers: [low, high, first, last] } of lines) {
      const share = Math.max(0, Math.min(1, (limit - low) / (high - low))), at = first + share * (last - first);
      line.setAttribute("transform", along === "x" ? `translate(${at} 0)` : `translate(0 ${at})`);
    }
  };

  const update = () => {
    const limit = limitAt(slider.valueAsNumber);
    const above = (label, list) => list.reduce((sum, group) => sum + (group[label] ?? []).filter((score) => score > limit).length, 0);
    for (const cell of part.querySelectorAll("[data-of]")) {
      const [row, label, missed] = cell.dataset.of.split(" "), list = row === "0" ? groups : [groups[row - 1]];
      const all = list.reduce((sum, group) => sum + (group[label] ?? []).length, 0), many = above(label, list);
      cell.textContent = missed ? all - many : many;
    }
    output.textContent = shown(limit);
    slider.setAttribute("aria-valuetext", `threshold ${shown(limit)}`);
    button.disabled = slider.valueAsNumber === home;
    if (percentile) {
      const found = percentileOf(limit);
      percentile.hidden = button.disabled || found === null;
      for (const place of percentile.querySelectorAll("b")) place.textContent = found;
    }
    move(limit);
  };

  slider.max = scores.length;
  slider.value = home;
  slider.addEventListener("input", update);
  button.addEventListener("click", () => { slider.value = home; update(); slider.focus(); });
  update();
}
