"""What arrives of a study: images entered, corrected, and the study opened again."""
