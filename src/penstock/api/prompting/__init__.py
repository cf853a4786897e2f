"""`penstock call`: one prompt, inside a run or outside."""
