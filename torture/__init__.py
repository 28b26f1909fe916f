"""Makes every single call of a month's load fail once, in each way it can, and compares what a
clean run leaves afterwards with what an undisturbed one leaves."""
