"""Models and methods to compare MNAD with, and the comparison."""
