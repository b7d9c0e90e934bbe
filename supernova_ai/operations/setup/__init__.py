"""``supernova setup``: what a new installation needs, step by step; each step keeps what is there already."""
