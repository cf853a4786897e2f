"""Speech: requests to models, the providers' wire formats, and the one way out."""
