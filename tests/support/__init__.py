"""What tests share: services, processes, and payments to feed them."""
