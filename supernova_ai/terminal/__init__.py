"""What is shown in a terminal: tables, charts, the page of an advice. Only here is rich imported."""
