"""What `profile` is made of: self time, typed columns, the session that is plain data."""
