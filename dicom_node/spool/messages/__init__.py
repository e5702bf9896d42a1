"""What peers say beside objects, kept in the spool until it is judged."""
