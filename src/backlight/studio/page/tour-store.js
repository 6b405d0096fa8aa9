// Where the tour is and what its sentences point at; kept apart from what is drawn of it, so that
// opening a link can set it.

import { goTo, goToNode, selectNamed, tour, trace } from "./store.js";

/** Open the tour at a moment of the chapter that is open; `move` whether to go there as well. */
export function startTour(index = 0, move = true) {
  tour.value = { open: true, moment: index, move, turn: (tour.value.turn ?? 0) + 1 };
}

/** The sentences of a subject; none unless it is a chapter. */
export function sentencesOf(subject) {
  return subject?.kind === "example" ? (subject.sentences ?? []) : [];
}

/** Show what a sentence is about. */
export function showSentence({ select: target, phase }) {
  if (target) selectNamed(target);
  const match = target && /^(.*?)(?:\[[\d,\s]+\])?$/.exec(target);
  const node = match ? trace.value.byName.get(match[1]) : undefined;
  if (phase && node !== undefined) goToNode(node, phase);
  else goTo(0);
}
