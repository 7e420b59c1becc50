"""What a memory is worth: retrained controls, interventions, usage in bits, dirty training data."""
