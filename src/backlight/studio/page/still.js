// A part of the page that is drawn again only when a mark says that something in it has changed.

import { Component } from "./vendor/preact/preact.js";

/** Draws its inside again only when what `mark` says has changed: most boxes stay as they are. */
export class Still extends Component {
  shouldComponentUpdate(next) {
    return (
      next.mark !== this.props.mark || next.found !== this.props.found || next.trace !== this.props.trace
    );
  }

  render({ draw }) {
    return draw();
  }
}
