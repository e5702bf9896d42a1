"""Content trees of structured reports: written, checked, and measured against the rules."""
