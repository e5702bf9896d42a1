"""The accounts of the console: people, their sign-ins, and tokens of programs."""
