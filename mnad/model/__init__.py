"""The networks: MNAD in the paper's order, its memory, the official weights."""
