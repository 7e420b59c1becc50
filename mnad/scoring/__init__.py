"""From outputs to verdicts: terms, scores, thresholds, and how good they are."""
