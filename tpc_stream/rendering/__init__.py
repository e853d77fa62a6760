"""A Session as a web page and as a table file; recording knows nothing of it."""
