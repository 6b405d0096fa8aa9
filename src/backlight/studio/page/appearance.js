// Colours and width: light, dark or as the system has it; wide or narrow.

import { effect } from "./vendor/preact-signals/signals.js";
import { narrow, theme } from "./store.js";

const KEY = "backlight-theme";

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** Keep the page in the chosen colours and know whether it is narrow. */
export function followTheme() {
  const kept = remembered();
  if (kept === "light" || kept === "dark") theme.value = kept;
  effect(() => {
    const chosen = theme.value;
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      return;
    }
  });
  const small = matchMedia("(max-width: 760px)");
  const follow = () => (narrow.value = small.matches);
  small.addEventListener("change", follow);
  follow();
}
