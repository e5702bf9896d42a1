"""Files of the spool: private, flushed, written once, removed."""
