"""Sign-in by the site's provider of identities (OpenID Connect Core 1.0, code flow with PKCE)."""
