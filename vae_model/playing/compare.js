// Two sounds in turn, from the same place on, the louder one made quieter. props.value: loudness in LUFS of each as JSON;
// props.players: of each the element that has its player.
const buttons = [...element.querySelectorAll("button")];
const audios = [...element.querySelectorAll("audio")];
const of = (parts, name) => parts.find((part) => part.dataset.of === name);

const stop = () => audios.forEach((audio) => audio.pause());
const mark = () =>
  buttons.forEach((button) => button.setAttribute("aria-pressed", !of(audios, button.dataset.of).paused));
audios.forEach((audio) => ["play", "pause", "ended"].forEach((event) => audio.addEventListener(event, mark)));

const press = (name) => {
  const audio = of(audios, name), other = audios.find((each) => each !== audio);
  if (!audio.paused) return stop();
  const source = document.querySelector("#" + props.players[name] + " audio")?.src;
  if (!source) return;
  if (audio.src !== source) audio.src = source;
  document.querySelectorAll("audio").forEach((each) => each !== audio && each !== other && each.pause());
  const from = other.paused ? 0 : other.currentTime;
  other.pause();
  audio.currentTime = from;
  audio.play();
};
buttons.forEach((button) => button.addEventListener("click", () => press(button.dataset.of)));

watch("value", () => {
  stop();
  const levels = props.value ? JSON.parse(props.value) : null;
  element.querySelector(".compare").hidden = !levels;
  if (!levels) return;
  const least = Math.min(levels.given, levels.reconstruction);
  for (const audio of audios) audio.volume = Math.min(1, 10 ** ((least - levels[audio.dataset.of]) / 20));
  const more = levels.given - levels.reconstruction;
  const louder = more > 0 ? "the original" : "the reconstruction";
  element.querySelector(".gain").textContent =
    Math.abs(more) < 0.05 ? "Both are equally loud." : "Equally loud: " + louder + " plays " + Math.abs(more).toFixed(1) + " dB quieter.";
});
