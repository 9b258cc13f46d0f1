"""What ties the rooms of the package together for a user."""
