"""What came of it: numbers of all drives, and the page and picture that are made of them."""
