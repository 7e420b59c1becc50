"""The one judge: a detector on a test set that no choice has seen, photographs and videos alike."""
