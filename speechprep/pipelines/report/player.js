// Lets the cursor of each utterance follow its player, and seeks where the drawing is clicked.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);

  // The last index whose start is not after t.
  function at(starts, t) {
    let low = 0, high = starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle] <= t) low = middle + 1; else high = middle;
    }
    return low - 1;
  }

  function utterance(article) {
    const found = data.utterances[Number(article.dataset.utterance)];
    const audio = article.querySelector("audio"), track = article.querySelector(".track");
    if (!audio || !found.seconds) return;
    const lanes = track.querySelector(".lanes"), cursor = track.querySelector(".cursor");
    const readout = article.querySelector(".readout");
    const spans = article.querySelectorAll(".words span");
    const wordStarts = found.words.map((word) => word[1]);
    let zoom = 1, wanted = 0;

    function wordAt(t) {
      const i = at(wordStarts, t);
      return i >= 0 && t < found.words[i][2] ? i : -1;
    }

    function say(t) {
      const parts = [], add = (text, strong) => {
        const part = document.createElement(strong ? "b" : "span");
        part.textContent = text;
        parts.push(part, " ");
      };
      add(t.toFixed(2) + " s");
      const word = wordAt(t), unit = at(found.starts, t);
      if (word >= 0) {
        const [text, start, end, score, timing] = found.words[word];
        add(text, true);
        add(`${start.toFixed(2)}–${end.toFixed(2)} s, ${timing}` + (score === null ? "" : `, score ${score}`));
      }
      if (unit >= 0 && unit < found.units.length) {
        add("unit " + found.units[unit], true);
        add(`for ${Math.round(1000 * (found.starts[unit + 1] - found.starts[unit]))} ms`);
      }
      readout.replaceChildren(...parts);
    }

    function show(t) {
      wanted = t;
      cursor.style.left = (100 * Math.min(t / found.seconds, 1)) + "%";
      const now = wordAt(t);
      spans.forEach((span, i) => span.classList.toggle("now", i === now && (t > 0 || !audio.paused)));
      track.setAttribute("aria-valuenow", t.toFixed(2));
      track.setAttribute("aria-valuetext", t.toFixed(2) + " s" + (now >= 0 ? ", " + found.words[now][0] : ""));
      say(t);
    }

    function follow() {
      const x = lanes.offsetWidth * audio.currentTime / found.seconds;
      if (x < track.scrollLeft || x > track.scrollLeft + 0.85 * track.clientWidth) {
        track.scrollLeft = x - 0.15 * track.clientWidth;
      }
    }

    function play() {
      show(audio.currentTime);
      follow();
      if (!audio.paused && !audio.ended) requestAnimationFrame(play);
    }

    function seek(t) {
      const to = Math.min(Math.max(t, 0), found.seconds);
      audio.currentTime = Math.min(to, audio.duration || to);
      show(to);
    }

    const timeAt = (event) => {
      const box = lanes.getBoundingClientRect();
      return found.seconds * Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    };
    audio.addEventListener("play", play);
    audio.addEventListener("seeked", () => show(audio.currentTime));
    track.addEventListener("click", (event) => seek(timeAt(event)));
    track.addEventListener("pointermove", (event) => event.pointerType === "mouse" && audio.paused && say(timeAt(event)));
    track.addEventListener("pointerleave", () => say(wanted));
    track.addEventListener("keydown", (event) => {
      const word = at(wordStarts, wanted + 1e-3);
      const moves = {
        ArrowRight: () => seek(wanted + 0.1),
        ArrowLeft: () => seek(wanted - 0.1),
        PageDown: () => seek(wordStarts[word + 1] ?? found.seconds),
        PageUp: () => seek(wordStarts[Math.max(word - 1, 0)] ?? 0),
        Home: () => seek(0),
        End: () => seek(found.seconds),
        " ": () => (audio.paused ? audio.play() : audio.pause()),
      };
      if (!moves[event.key]) return;
      event.preventDefault();
      moves[event.key]();
      const x = lanes.offsetWidth * wanted / found.seconds;
      if (x < track.scrollLeft || x > track.scrollLeft + track.clientWidth) track.scrollLeft = x - track.clientWidth / 2;
    });
    article.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
      const middle = (track.scrollLeft + track.clientWidth / 2) / lanes.offsetWidth;
      zoom = Math.min(Math.max(zoom * Number(button.dataset.zoom), 1), 16);
      lanes.style.width = 100 * zoom + "%";
      lanes.classList.toggle("near", lanes.offsetWidth / found.seconds > 700);
      track.scrollLeft = middle * lanes.offsetWidth - track.clientWidth / 2;
    }));
    show(0);
  }

  // Events of players do not bubble, so the document captures them: one player at a time, in every section.
  document.addEventListener("play", (event) => {
    document.querySelectorAll("audio").forEach((other) => other !== event.target && other.pause());
  }, true);
  document.querySelectorAll(".utterance").forEach(utterance);
})();
