"""Files that come by other ways than an association: looked at, and put into the spool."""
