"""Write tables and HTML pages of results."""
