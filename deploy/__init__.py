"""Running the system: the demonstration, one machine by a Procfile, and files for sites."""
