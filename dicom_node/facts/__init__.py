"""What is known of a received instance: its kind, its patient, whether it is analysed."""
