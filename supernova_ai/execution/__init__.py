"""One request, sent: its attempts, their holds, the answer's text, and what is learnt of the providers."""
