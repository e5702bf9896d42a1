"""The console: pages for people and a REST API for programs, behind one sign-in."""
