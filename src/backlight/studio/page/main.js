// The start: find the report in the page or connect to the server, then draw.

import { render } from "./vendor/preact/preact.js";
import { html } from "./html.js";
import { App } from "./app.js";
import { start } from "./actions.js";
import { followAlong } from "./follow.js";
import { listenToKeys } from "./keyboard.js";
import { followAddress } from "./store.js";
import { followTheme } from "./appearance.js";

const holder = document.getElementById("app");
holder.textContent = "";
followTheme();
render(html`<${App} />`, holder);
listenToKeys();
start();
followAlong();
followAddress();
