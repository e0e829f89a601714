"""From measured runs to the tables that people read."""
