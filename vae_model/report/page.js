// One sound at a time; its picture shows where it is, and starts or stops it when clicked.
for (const figure of document.querySelectorAll(".sound")) {
  const audio = figure.querySelector("audio");
  const pictures = figure.querySelectorAll(".picture");
  const playheads = figure.querySelectorAll(".playhead");
  const follow = () => {
    for (const playhead of playheads) playhead.style.left = `${(100 * audio.currentTime) / figure.dataset.seconds}%`;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    figure.classList.add("playing");
    follow();
  });
  audio.addEventListener("pause", () => figure.classList.remove("playing"));
  audio.addEventListener("seeked", follow);
  for (const picture of pictures) picture.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
}

// A map of sounds: the point nearest to a click is shown and played.
for (const map of document.querySelectorAll(".map")) {
  const data = JSON.parse(map.querySelector("script").textContent);
  const [svg, layout, colour] = ["svg", ".layout", ".colour"].map((name) => map.querySelector(name));
  const audio = map.querySelector("audio");
  const meters = map.querySelectorAll(".level");
  const images = map.querySelectorAll("img");
  const circles = [...svg.querySelectorAll("circle")];
  const only = (elements, chosen) => elements.forEach((element, index) => (element.hidden = index !== chosen));
  let current = 0;

  const choose = (index) => {
    current = index;
    circles.forEach((circle, other) => circle.classList.toggle("current", other === index));
    const point = data.points[index];
    map.querySelector("h3").textContent = point.title;
    map.querySelector("figcaption").textContent = point.caption;
    images.forEach((image, number) => Object.assign(image, point.pictures[number]));
    meters.forEach((meter, number) => {
      const level = point.levels[number];
      meter.setAttribute("aria-label", `Level ${level.text}`);
      meter.querySelector(".reading").textContent = level.text;
      meter.querySelector("i").style.width = `${100 * level.rms}%`;
      meter.querySelector("b").style.left = `${100 * level.peak}%`;
    });
    Object.assign(audio, { src: point.audio });
    audio.setAttribute("aria-label", point.title);
  };
  const play = (index) => {
    choose(index);
    audio.play();
  };
  const arrange = () => {
    data.placed[layout.value].forEach(([x, y], index) => {
      circles[index].setAttribute("cx", x);
      circles[index].setAttribute("cy", y);
    });
    data.classes[colour.value].forEach((number, index) => circles[index].setAttribute("class", `class-${number}`));
    only(map.querySelectorAll(".classes"), Number(colour.value));
    only(map.querySelectorAll(".caption"), Number(layout.value));
    circles[current].classList.add("current");
  };

  svg.addEventListener("click", (event) => {
    const distances = circles.map((circle) => {
      const box = circle.getBoundingClientRect();
      return Math.hypot(box.x + box.width / 2 - event.clientX, box.y + box.height / 2 - event.clientY);
    });
    const nearest = distances.indexOf(Math.min(...distances));
    if (distances[nearest] < 24) play(nearest);
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (step) choose((current + step + circles.length) % circles.length);
    if (event.key === "Enter" || event.key === " ") play(current);
    if (step || event.key === " ") event.preventDefault();
  });
  layout.addEventListener("change", arrange);
  colour.addEventListener("change", arrange);
  arrange(); // a reload keeps what was selected
}
