"""SentencePiece models over units and over text, and the joint vocabulary of both."""
