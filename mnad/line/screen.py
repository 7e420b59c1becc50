"""What the screen shows of many verdicts: the worst, what could not be read, the counts, how fast."""

from collections.abc import Iterator

from mnad.line.summary import Summary
from mnad.run.streams import printable


def per_second(count: int, seconds: float) -> str:
    """``1,234 a second``; of slow ones two digits: ``0.43 a second``."""
    value = count / max(seconds, 1e-9)
    return f"{value:,.0f} a second" if value >= 10 else f"{value:.2g} a second"


def screen(summary: Summary, top: int) -> Iterator[str]:
    """The worst first, then what could not be read, then the counts."""
    worst = summary.table.sorted()[:top]
    if worst:
        yield f"{'score':>10}  {'margin':>10}  {'verdict':<9}  path"
    for verdict, _ in worst:
        yield f"{verdict.score:10.4g}  {verdict.margin:+10.4g}  {verdict.verdict:<9}  {printable(verdict.path)}"
    for verdict in summary.errors[:top]:
        yield f"{'':>10}  {'':>10}  {'error':<9}  {printable(verdict.error)}"
    scored, errors = summary.total - summary.counts["error"], summary.counts["error"]
    hidden = max(scored - top, 0) + max(errors - top, 0)
    if hidden:
        yield f"... and {hidden:,} more"
    yield (
        f"{summary.total:,} pictures: {summary.counts['anomalous']:,} anomalous, {summary.counts['normal']:,} normal, "
        f"{errors:,} without a verdict"
    )
