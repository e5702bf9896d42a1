"""The demonstration weights: a small Mammo-CLIP that learned on phantoms, from data to bundle."""
