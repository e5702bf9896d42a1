"""The networks: image and text encoders, projections, heads, detector, Mammo-FActOR."""
