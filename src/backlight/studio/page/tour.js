// The tour: the sentences of the open chapter, one at a time, each with a link of its own.

import { html } from "./html.js";
import { open, train } from "./actions.js";
import { copy } from "./export.js";
import { catalogue, offline, server, subject, tour } from "./store.js";
import { sentencesOf, startTour } from "./tour-store.js";

export function Tour() {
  const about = subject.value;
  const sentences = sentencesOf(about);
  const index = Math.max(0, Math.min(tour.value.moment ?? 0, sentences.length - 1));
  const sentence = sentences[index];
  const chapters = catalogue.value?.examples ?? [];
  const labels = chapters.map((each, k) => {
    const same = chapters.filter((other) => other.chapter === each.chapter);
    return same.length < 2 ? String(each.chapter) : `${each.chapter}${"abcdef"[same.indexOf(each)]}`;
  });
  const place = chapters.findIndex((each) => each.name === about?.name);
  const move = (by) => {
    if (index + by >= 0 && index + by < sentences.length) return startTour(index + by);
    const next = chapters[place + by];
    return next ? openChapter(next.name) : undefined;
  };
  return html`<aside class="tour" aria-label="Tour">
    <div class="tour-head"><ol class="chapters">${chapters.map(
      (each, k) => html`<li key=${each.name}>
        <button type="button" class="chapter" aria-current=${each.name === about?.name ? "step" : null} disabled=${offline.value && each.name !== about?.name}
          title=${each.title} aria-label=${`Chapter ${labels[k]}: ${each.title}`} onClick=${() => openChapter(each.name)}>${labels[k]}</button></li>`,
    )}</ol>
      ${sentence && !offline.value && html`<button type="button" class="quiet icon link-here" aria-label="copy link" title="Copy a link to this moment" onClick=${() => setTimeout(() => copy(location.href, "link to this moment"), 300)}>
        <svg class="icon-line" viewBox="0 0 16 16" width="15" height="15" aria-hidden="true"><path d="M6.5 9.5l3-3M7 4.5l1.6-1.6a2.8 2.8 0 0 1 4 4L11 8.5M9 11.5l-1.6 1.6a2.8 2.8 0 0 1-4-4L5 7.5" /></svg></button>`}
      <button type="button" class="quiet icon" aria-label="Close the tour" onClick=${() => (tour.value = { ...tour.value, open: false })}>×</button></div>
    <h2>${sentence ? about.title : "The tour"}</h2>
    <p class="tour-text" aria-live="polite">${sentence ? sentence.text : "Choose a chapter: each shows backpropagation on a worked example, step by step."}</p>
    ${
      sentence &&
      !offline.value &&
      server.value?.live &&
      html`<div class="tour-tools"><button type="button" onClick=${() => train(server.value.training?.running ? "pause" : "start")}>${server.value.training?.running ? "Pause training" : "Start training"}</button></div>`
    }
    ${
      sentence &&
      html`<div class="tour-foot">
      <button type="button" disabled=${index === 0 && place <= 0} onClick=${() => move(-1)}>Back</button>
      <span class="muted small">${index + 1} of ${sentences.length}</span>
      <button type="button" class="primary" disabled=${index === sentences.length - 1 && place === chapters.length - 1} onClick=${() => move(1)}>
        ${index === sentences.length - 1 && place < chapters.length - 1 ? "Next chapter" : "Next"}</button></div>`
    }</aside>`;
}

/** Open a chapter at its beginning. */
export function openChapter(name) {
  const { kind, name: present } = server.value?.subject ?? {};
  return kind === "example" && present === name
    ? startTour(0)
    : open({ kind: "example", name }, "start", true);
}
