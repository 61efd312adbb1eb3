"""Small models, toy stages and rows that several tests share."""
