"""The studio: one page on which a person sees backpropagation happen.

`serve` starts the page's server (extra ``studio``), `notebook.show` shows the same page in a
notebook (extra ``notebook``).  The page itself is in ``page/``; docs/studio-protocol.md says what
the two sides say to each other.
"""
