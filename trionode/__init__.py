"""trionode: a mesh of equal nodes that brings typed objects to the services that process them."""
