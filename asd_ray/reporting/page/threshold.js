// The slider of a machine: it counts the clips above another threshold, and moves the lines in the pictures.
for (const part of document.querySelectorAll(".decide")) {
  const groups = JSON.parse(part.dataset.scores), quantiles = JSON.parse(part.dataset.quantiles);
  const own = Number(part.dataset.threshold);
  const scores = [...new Set(groups.flatMap((group) => Object.values(group).flat()))].sort((a, b) => a - b);
  const home = scores.filter((score) => score <= own).length; // each step of the slider moves one score across the threshold
  const [slider, output, button] = ["input", "output", ".control button"].map((name) => part.querySelector(name));
  const percentile = part.querySelector(".percentile");
  const lines = [...part.closest(".panel").querySelectorAll("[data-limit]")].map((line) => {
    const [along, ...numbers] = line.dataset.limit.split(" ");
    return { line, along, numbers: numbers.map(Number) };
  });

  const around = (place) => [scores[place - 1] ?? -Infinity, scores[place] ?? Infinity];
  const limitAt = (place) => {
    if (place === home) return own;
    const [below, above] = around(place);
    return place === 0 ? above - Math.abs(above) * 1e-6 - 1e-9 : place === scores.length ? below : (below + above) / 2;
  };
  const shown = (limit) => limit.toFixed(3).replace("-", "−");

  // numpy's percentile and its inverse; null for a limit that no percentile gives, because all normal clips are on one side
  const last = quantiles.length - 1;
  const scoreAt = (percentile) => {
    const share = (percentile / 100) * last, at = Math.min(Math.floor(share), last - 1);
    return quantiles[at] + (share - at) * (quantiles[at + 1] - quantiles[at]);
  };
  const percentileOf = (limit) => {
    const at = quantiles.findIndex((score) => score > limit);
    return at > 0 ? (100 * (at - 1 + (limit - quantiles[at - 1]) / (quantiles[at] - quantiles[at - 1]))) / last : null;
  };
  // the shortest percentile that gives the counts shown, so a limit between the same two scores
  const shortest = (place) => {
    const exact = percentileOf(limitAt(place)), [below, above] = around(place);
    if (exact === null) return null;
    const margin = Number.isFinite(above - below) ? (above - below) * 1e-6 : 0; // for what another computer rounds
    for (let digits = 1; digits < 12; digits++) {
      const rounded = exact.toFixed(digits), score = scoreAt(Number(rounded));
      if (Number(rounded) > 0 && Number(rounded) < 100 && score > below + margin && score < above - margin) return rounded;
    }
    return null;
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
      const found = shortest(slider.valueAsNumber);
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
