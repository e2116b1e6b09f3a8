() => {
  // Space plays the sound of the tab again, A and B the original and what was made of it; arrow keys go to the map, when
  // no other part of the page wants them.
  const wanting =
    "input:not([type=range]), textarea, select, button, a, summary, audio, [contenteditable], [role=tab], [role=listbox], [role=option]";
  const visible = (part) => part.offsetParent !== null;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    const at = event.target instanceof Element ? event.target : document.body;
    if (at.closest(wanting)) return;
    const compared = { a: "given", b: "reconstruction" }[event.key.toLowerCase()];
    if (compared) {
      const press = [...document.querySelectorAll(".comparison button[data-of=" + compared + "]")].find(visible);
      if (press && !event.repeat) press.click();
    } else if (event.key === " ") {
      const player = [...document.querySelectorAll(".made audio")].find((audio) => visible(audio) && audio.src);
      event.preventDefault();
      if (!player) return;
      player.currentTime = 0;
      player.play();
    } else if (event.key.startsWith("Arrow") && at === document.body) {
      const map = document.querySelector("#board svg");
      if (map && visible(map.parentElement)) {
        map.focus();
        map.dispatchEvent(new KeyboardEvent("keydown", { key: event.key, shiftKey: event.shiftKey, cancelable: true }));
        event.preventDefault();
      }
    }
  });
};
