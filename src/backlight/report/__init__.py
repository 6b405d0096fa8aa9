"""Reports: one HTML file with the page of the studio, the numbers and the derivations.

`save_trace` writes a trace to a file; `static` makes plain pages without scripts; `payload`,
`explanation` and `outline` turn traces into the JSON that the studio's page reads, and `bundle`
puts that page with its data into one file that needs no network.
"""

from __future__ import annotations

from backlight.report.save import save_trace
from backlight.report.static import Part, figure, page, text_block, trace_page, trace_table

__all__ = ["Part", "figure", "page", "save_trace", "text_block", "trace_page", "trace_table"]
