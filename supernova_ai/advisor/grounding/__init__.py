"""Whether a sentence of a model may be shown: its words, its slots, and what it says about the facts."""
