"""What an answer says of the examination, its breasts and its lesions, as objects state it."""
