"""Back-translation: reports said again in other words, by way of another language."""
