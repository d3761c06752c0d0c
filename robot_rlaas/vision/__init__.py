"""Where prints are, out of pictures: boards and markers found, and poses fitted to them."""
