"""What a terminal shows: tables, charts and pages. Rich is imported only here."""
