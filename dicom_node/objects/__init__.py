"""Pure builders of result objects: findings and source headers in, data sets out."""
