"""What clients speak: for each protocol pure functions that read, rewrite, meter, translate and answer its calls."""
