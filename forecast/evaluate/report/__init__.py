"""What a person looks at after a run or a sweep: report.html, plots/*.png, leaderboard.html.

`plot` describes a plot, once; the page's script (assets/chart.js) and `png` draw it. `run_plots`, `sections` and
`leaderboard` make descriptions of what a run or a sweep recorded; `page` puts them into the templates, `pictures`
into files.
"""

from forecast.evaluate.report.leaderboard import write_leaderboard
from forecast.evaluate.report.page import notebook_html, write
from forecast.evaluate.report.pictures import write_plots

__all__ = ["notebook_html", "write", "write_leaderboard", "write_plots"]
