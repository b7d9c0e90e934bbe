"""What a terminal shows: tables, charts and the page of an advice. Rich is imported only here."""
