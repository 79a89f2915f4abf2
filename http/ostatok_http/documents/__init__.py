"""What the service says of itself: its addresses (OpenAPI), the topic (AsyncAPI), and a page."""
