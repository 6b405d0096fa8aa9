// Where the tour is; kept apart from its texts so that opening a link can set it.

import { tour } from "./store.js";

/** Open the tour at a moment of the chapter that is open; `move` whether to go there as well. */
export function startTour(index = 0, move = true) {
  tour.value = { open: true, moment: index, move, turn: (tour.value.turn ?? 0) + 1 };
}
