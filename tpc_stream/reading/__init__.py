"""What `source` is made of: containers, decoding, pixels, pictures, cameras."""
