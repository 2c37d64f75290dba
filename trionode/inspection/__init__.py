"""What people may ask of a mesh: where an object is and why it waits, and what a node holds.

Pure: the searches that carry a question from node to node, what each node answers out of its
brain's books, and what all answers together say. Nothing here ever changes anything in a brain.
"""
