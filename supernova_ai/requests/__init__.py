"""What a call says: its options, arguments, attachments and complexity, checked and made a `Request`."""
