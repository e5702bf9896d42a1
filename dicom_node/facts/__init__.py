"""What is true of a received instance: what it is, whose, whether it is analysed. No SQL, no network."""
