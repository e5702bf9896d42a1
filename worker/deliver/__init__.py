"""The task ``deliver``: from the result objects in the spool to one destination."""
