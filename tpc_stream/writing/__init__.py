"""What `sink`, `sheet` and `sidebyside` are made of: video files, sound, pictures, paths."""
