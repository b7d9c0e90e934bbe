"""What a call says: its arguments, attachments and complexity, checked and made a `Request`."""
