"""How good a model is: measures with intervals, the published figures beside ours, plots."""
