"""The commands by which people watch the model: drift, thresholds, replay, report, export."""
