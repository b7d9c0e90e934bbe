"""What an operator does with a configuration before it is used."""
