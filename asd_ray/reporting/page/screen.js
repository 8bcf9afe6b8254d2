// A table or a picture that is wider than its box says on which sides it continues; style.css fades these sides.
const hint = (box) => {
  const before = box.scrollLeft > 1, after = box.scrollLeft + box.clientWidth < box.scrollWidth - 1;
  box.dataset.more = [before && "left", after && "right"].filter(Boolean).join(" ");
};
const resized = new ResizeObserver((entries) => { for (const entry of entries) hint(entry.target); });
for (const box of document.querySelectorAll(".scroll, .pan")) {
  box.addEventListener("scroll", () => hint(box), { passive: true });
  resized.observe(box);
}
