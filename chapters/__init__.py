"""The finished definitions of the course, a module per notebook; previous_chapters lists them."""
