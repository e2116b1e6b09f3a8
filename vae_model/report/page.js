// One sound at a time; its picture shows where it is, and starts or stops it when clicked.
for (const figure of document.querySelectorAll(".sound")) {
  const audio = figure.querySelector("audio");
  const picture = figure.querySelector(".picture");
  const playhead = figure.querySelector(".playhead");
  const follow = () => {
    playhead.style.left = `${(100 * audio.currentTime) / figure.dataset.seconds}%`;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    figure.classList.add("playing");
    follow();
  });
  audio.addEventListener("pause", () => figure.classList.remove("playing"));
  audio.addEventListener("seeked", follow);
  picture.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
}
