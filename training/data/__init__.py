"""Tables, images and records that training reads, and how they are divided."""
