"""Train every detector several times on one dataset and tabulate them: CSV, Markdown, LaTeX, a figure.

Interrupted, the same command goes on where it stopped.
"""

from baselines.compare import CompareConfig
from baselines.tables import compare_and_tabulate
from mnad.cli import run

if __name__ == "__main__":
    run(compare_and_tabulate, CompareConfig, __doc__)
