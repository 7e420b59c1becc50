"""Measuring the speed of training and scoring on this machine; see ``scripts/benchmark.py``."""
