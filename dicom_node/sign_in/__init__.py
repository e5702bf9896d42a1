"""Who may use the console and the REST API: accounts, passwords, sign-ins, tokens, roles."""
