"""Where is driven: houses with changes that the robot is not told of, and errands in them."""
