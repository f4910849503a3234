"""What the try that holds a slice's lease writes."""
