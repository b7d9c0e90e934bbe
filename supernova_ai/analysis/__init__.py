"""What an answer is worth: its quality score, and the sentiment of an analysis."""
