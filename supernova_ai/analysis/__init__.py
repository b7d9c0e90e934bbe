"""What can be read out of an answer: its quality, and the sentiment of an analysis."""
