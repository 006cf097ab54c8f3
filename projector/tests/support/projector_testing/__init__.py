"""What the projector's tests share."""
