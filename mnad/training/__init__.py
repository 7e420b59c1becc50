"""Training: one loop for every model, the state that it leaves, remedies for a collapsed memory."""
