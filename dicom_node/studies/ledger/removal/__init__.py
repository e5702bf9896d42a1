"""What leaves: files removed by the retention, and studies that are erased."""
