"""The pages of docs/reference, each from what the code says of itself."""
