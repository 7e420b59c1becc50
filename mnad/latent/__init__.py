"""The latent space seen from outside: which queries lie together, near which memory items, and what they show."""
