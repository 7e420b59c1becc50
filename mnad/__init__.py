"""MNAD (memory-guided normality): model, scores, thresholds, training, maps and figures."""
