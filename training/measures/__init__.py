"""Figures of how good a model is: measures, intervals, the published figures."""
