"""Takes what modalities and archives announce: performed procedure steps, and available images."""
