"""The spool: where everything received and made lies."""
