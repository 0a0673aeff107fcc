"""A model's answers to scores."""
