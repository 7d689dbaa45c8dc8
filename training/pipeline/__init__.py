"""Complete runs, from the data set to a published version."""
