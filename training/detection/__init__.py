"""The published detector trained on an encoder that learned from reports: where a finding is."""
