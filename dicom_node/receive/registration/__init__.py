"""From a file in the spool to a row of the ledger, with the processes that read and compare."""
