"""The committed figures: one function per figure that draws from stored results, and the command that runs them all.

``entry`` says what a figure and its caption are, ``catalogue`` names all figures, ``make`` draws, checks and moves.
"""
