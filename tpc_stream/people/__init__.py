"""What `pose` and `portrait` are made of: the landmarker, turned pictures, voting, silhouettes."""
